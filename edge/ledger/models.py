"""Records in the audit log which model a gate judges with."""

from __future__ import annotations

from edge.ledger.base import LedgerBase


class Models(LedgerBase):
    def model_put(
        self, name: str, version: str, digest: str, before: str, by: str, reason: str, wall_ms: int
    ) -> None:
        """Records that a gate takes a model into service. ``before`` is the digest of the replaced model."""
        detail = {"name": name, "version": version, "before": before, "reason": reason}
        with self._database.write_transaction("record a model") as connection:
            self._audit(connection, wall_ms, by, "model", digest, detail, {})
