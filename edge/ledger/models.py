"""Models: who had which one judge, in the audit log."""

from __future__ import annotations

from edge.ledger.base import LedgerBase


class Models(LedgerBase):
    def model_put(
        self, name: str, version: str, digest: str, before: str, by: str, reason: str, wall_ms: int
    ) -> None:
        """Put on record that a model is put in force on this gate. ``before``: digest of the one it
        replaces."""
        detail = {"name": name, "version": version, "before": before, "reason": reason}
        with self._database.write("record a model") as connection:
            self._audit(connection, wall_ms, by, "model", digest, detail, {})
