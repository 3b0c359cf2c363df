"""A ledger that always has somewhere to write a violation: the database, or the local journal."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Self

import structlog

from edge.crash import crash_point
from edge.domain import Block, Incident
from edge.enforce.ladder import Sanction
from edge.errors import InvalidInput, LedgerUnavailable
from edge.ledger.journal import Journal
from edge.ledger.ledger import Ledger
from edge.ledger.violations import Violation, make_violation

log = structlog.get_logger(__name__)


class DurableLedger(Ledger):
    """``record_violation`` falls back to the journal; ``reconcile`` brings the journal home.

    Both may run at once, in different threads.
    """

    _journal: Journal
    _journal_lock: threading.Lock
    _away: bool

    @classmethod
    def open(  # type: ignore[override]
        cls, url: str, journal: Path, *, gate: str = "", busy_timeout_ms: int = 500
    ) -> Self:
        """Also brings home what an earlier process left in the journal."""
        ledger = super().open(url, gate=gate, busy_timeout_ms=busy_timeout_ms)
        ledger._journal = Journal(journal)
        ledger._journal_lock = threading.Lock()
        ledger._away = False
        ledger.reconcile()
        return ledger

    def record_violation(self, incident: Incident, sanction: Sanction, wall_ms: int) -> Violation:
        """On disk when it returns, in the ledger or (``durable_in``) in the journal.

        A cut waits for a ledger that is away once; until ``reconcile`` or ``probe`` has found it back,
        violations go to the journal at once. The journal cannot count the strikes in a ledger that is
        away: it counts its own, and ``reconcile`` lengthens the block to what the ladder says of all.
        Raises LedgerUnavailable when both are away.
        """
        if self._away:
            try:
                return self._record_in_journal(incident, sanction, wall_ms)
            except LedgerUnavailable:
                return super().record_violation(incident, sanction, wall_ms)
        try:
            return super().record_violation(incident, sanction, wall_ms)
        except LedgerUnavailable as error:
            self._away = True
            log.warning("ledger is away, the journal takes the violation", error=str(error))
        except InvalidInput as error:
            # The cut must not depend on it.
            log.critical("ledger refuses the violation, the journal takes it", error=str(error))
        return self._record_in_journal(incident, sanction, wall_ms)

    def _record_in_journal(self, incident: Incident, sanction: Sanction, wall_ms: int) -> Violation:
        with self._journal_lock:
            waiting = [entry.violation for entry in self._journal.entries()]
            for known in waiting:
                if incident.stream_id == known.incident.stream_id:
                    return known
            earlier = [v.strike for v in waiting if v.strike.broadcaster == incident.publish.broadcaster]
            violation = make_violation(incident, sanction, earlier, wall_ms)
            self._journal.append(violation, sanction)
        return dataclasses.replace(violation, durable_in="journal")

    def probe(self) -> tuple[Block, ...]:
        """Can the ledger be written now? Raises LedgerUnavailable; else the same as ``reconcile``."""
        self.ping()
        return self.reconcile()

    def reconcile(self) -> tuple[Block, ...]:
        """Move the journal into the ledger, each violation once.

        Returns its blocks as the ledger has them: the same ids, possibly longer. Raises
        LedgerUnavailable.
        """
        if self._away:
            self.ping()
        size = self._journal.size()
        adopted: list[Block] = []
        if size:
            crash_point("reconcile.begin")
            refused = []
            for entry in self._journal.entries():
                try:
                    adopted += self.adopt_violation(entry.violation, entry.sanction).blocks
                    crash_point("reconcile.adopted")
                except InvalidInput as error:
                    log.critical("ledger refuses a violation of the journal", error=str(error))
                    refused.append(entry)
            crash_point("reconcile.clear")
            with self._journal_lock:
                # What was appended meanwhile may not have been read: it waits for the next time.
                self._journal.clear(size, refused)
            crash_point("reconcile.cleared")
            log.info("journal is in the ledger", blocks=len(adopted))
        self._away = False
        return tuple(adopted)
