"""A ledger that always has somewhere to write a violation: the database, or the local journal."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import structlog

from edge.domain import Block, Incident
from edge.enforce.ladder import block_until
from edge.errors import LedgerUnavailable
from edge.ledger.journal import Journal
from edge.ledger.ledger import Ledger, Violation, make_violation
from edge.policy import LadderPolicy

log = structlog.get_logger(__name__)


class DurableLedger(Ledger):
    """``record_violation`` falls back to the journal; ``reconcile`` brings the journal home."""

    _journal: Journal

    @classmethod
    def open(  # type: ignore[override]
        cls, url: str, journal: Path, *, busy_timeout_ms: int = 500
    ) -> Self:
        """Also brings home what an earlier process left in the journal."""
        ledger = super().open(url, busy_timeout_ms=busy_timeout_ms)
        ledger._journal = Journal(journal)
        ledger.reconcile()
        return ledger

    def record_violation(self, incident: Incident, ladder: LadderPolicy, wall_ms: int) -> Violation:
        """On disk when it returns, in the ledger or (``durable_in``) in the journal.

        The journal cannot count earlier strikes in a ledger that is away: it counts its own, and the
        block is at least the ladder's first step. Raises LedgerUnavailable when both are away.
        """
        try:
            return super().record_violation(incident, ladder, wall_ms)
        except LedgerUnavailable as error:
            log.warning("ledger is away, the journal takes the violation", error=str(error))
        waiting = list(self._journal.violations())
        for known in waiting:
            if incident.stream_id == known.incident.stream_id:
                return known
        earlier = [v.strike for v in waiting if v.strike.broadcaster == incident.publish.broadcaster]
        until_ms = block_until(earlier, ladder, incident.created_ms)
        violation = make_violation(incident, ladder, until_ms, wall_ms)
        self._journal.append(violation)
        return Violation(
            violation.incident, violation.strike, violation.blocks, violation.durable_ms, "journal"
        )

    def probe(self) -> None:
        """Can the ledger be written now? Raises LedgerUnavailable; brings the journal home when it can."""
        self.ping()
        self.reconcile()

    def reconcile(self) -> tuple[Block, ...]:
        """Move the journal into the ledger, each violation once. Returns its blocks."""
        if self._journal.empty():
            return ()
        adopted: list[Block] = []
        for violation in self._journal.violations():
            adopted += self.adopt_violation(violation).blocks
        self._journal.clear()
        log.info("journal is in the ledger", blocks=len(adopted))
        return tuple(adopted)
