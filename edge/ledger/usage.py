"""Records in the audit log how much a gate was used. The chain protects the figures from changes by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.ledger.base import GATE, LedgerBase

USAGE = "usage"


class Usage(LedgerBase):
    def record_usage(self, counted: Mapping[str, Any], wall_ms: int) -> None:
        """Appends one audit entry with the figures."""
        with self._database.write_transaction("record usage") as connection:
            self._audit(connection, wall_ms, GATE, USAGE, self._gate, counted, {})
