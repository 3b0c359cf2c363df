"""A ledger that falls back to a local journal, so the gate's decisions always reach a disk."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import structlog

from edge.crash_points import crash_point
from edge.domain import Block, Incident, Publish
from edge.errors import GateError, LedgerUnavailable, NotFound
from edge.ladder import Sanction
from edge.ledger.journal import Journal, Reserve
from edge.ledger.journal_entries import Entry, Marked, Opened, StreamCut, Violated
from edge.ledger.ledger import Ledger
from edge.ledger.subjects import struck_name
from edge.ledger.unwritten import UnwrittenDecision, UnwrittenDecisions, described
from edge.ledger.violations import Violation, make_violation
from edge.names import compared
from edge.telemetry.records import JournalAdopted, LedgerRefused, Record

_ROOM_BYTES = 1024 * 1024
"""A disk with less free is full. A ledger in a file can be opened with that much."""
_PAUSE_S = 0.002
"""Pause between two entries that are moved to the ledger. It leaves time to answer Admit in this process."""

_CUT_MARGIN_S = 0.25
"""How much longer than the database's patience a cut waits, so that the database's own error comes first."""

log = structlog.get_logger(__name__)


def _unheard(record: Record) -> None:
    """Where nobody takes records, as in a command."""


class DurableLedger(Ledger):
    """A ledger whose violations, incidents and marks fall back to the journal. ``reconcile`` moves them
    back.

    Both may run at once, in different threads. Any error of the database sends writes to the journal,
    unforeseen errors too. The actions of people have no fallback: they get the error.
    """

    _report: Callable[[Record], None]
    """To telemetry."""
    _journal: Journal
    _journal_lock: threading.Lock
    _away: bool
    _home: int
    """Bytes of the journal that are already in the ledger."""
    _refused: list[Entry]
    _waiting: dict[str, Violation] | None
    """The journal's violations by stream id. None: not read yet."""
    _cuts: ThreadPoolExecutor
    """Writes the violations that cuts wait for."""
    _adopted: list[Block]
    """Blocks moved to the ledger that ``reconcile`` has not returned yet."""
    unwritten: UnwrittenDecisions
    """Decisions in memory alone. They are tried again."""

    @classmethod
    def open(  # type: ignore[override]
        cls,
        url: str | Path,
        journal: Path,
        *,
        gate: str = "",
        busy_timeout_ms: int = 500,
        reserve_bytes: int = 0,
        report: Callable[[Record], None] = _unheard,
    ) -> Self:
        """Opens ledger and journal. Moves what an earlier process left in the journal to the ledger.

        ``reserve_bytes`` is disk space that the journal keeps for itself. A database file that has no room to
        be opened in gets it for that moment.
        """
        kept = Journal(journal, reserve_bytes)
        try:
            return cls._opened(url, kept, journal, gate, busy_timeout_ms, report)
        except LedgerUnavailable as error:
            if kept.keep_reserve().left_bytes < _ROOM_BYTES or not _is_full(journal.parent):
                raise
            log.warning("the disk is full; the journal's reserve opens the ledger", error=str(error))
            kept.release_reserve()
            return cls._opened(url, kept, journal, gate, busy_timeout_ms, report)

    @classmethod
    def _opened(
        cls,
        url: str | Path,
        kept: Journal,
        path: Path,
        gate: str,
        busy_timeout_ms: int,
        report: Callable[[Record], None],
    ) -> Self:
        ledger = super().open(url, gate=gate, busy_timeout_ms=busy_timeout_ms)
        ledger._report = report
        ledger._journal = kept
        ledger._journal_lock = threading.Lock()
        ledger._away = False
        ledger._home = 0
        ledger._refused = []
        ledger._waiting = None
        ledger._adopted = []
        ledger._cuts = ThreadPoolExecutor(1, thread_name_prefix="ledger-cut")
        ledger.unwritten = UnwrittenDecisions(path.with_suffix(".unwritten"), report)
        try:
            ledger.reconcile()
            ledger.unwritten.take_note(ledger._is_missing)
        except BaseException:
            ledger.close()
            raise
        ledger._journal.keep_reserve(or_less=True)
        return ledger

    def _is_missing(self, decision: UnwrittenDecision) -> bool:
        try:
            self.incident(decision.subject)
        except NotFound:
            return True
        return False

    def keep_reserve(self) -> Reserve:
        """Keeps the journal's disk space, and the note of what was never written."""
        self.unwritten.keep_note()
        with self._journal_lock:
            return self._journal.keep_reserve()

    def write_unwritten(self) -> tuple[UnwrittenDecision, ...]:
        """Tries for the last time to write what is in memory alone. Returns what cannot be written."""
        for entry in self.unwritten.entries():
            try:
                self._append(entry)
            except LedgerUnavailable:
                refused = len(self._refused)
                with contextlib.suppress(GateError):
                    self._adopt(entry)
                    if len(self._refused) == refused:
                        self.unwritten.written(entry)
        return tuple(described(entry) for entry in self.unwritten.entries())

    @property
    def away(self) -> bool:
        """Whether decisions go to the journal. ``reconcile`` or ``probe`` ends that."""
        return self._away

    def record_violation(self, incident: Incident, sanction: Sanction, wall_ms: int) -> Violation:
        """Records a violation; it is on disk on return. ``durable_in`` says where: in the ledger or in the
        journal.

        Only the first cut waits for a ledger that is away. Later ones go straight to the journal until
        ``reconcile`` or ``probe`` succeeds. The journal counts only its own strikes. ``reconcile`` then
        lengthens the block to the ladder's term for all strikes. Raises LedgerUnavailable when both are
        away, and holds the violation in memory until a later call or ``write_unwritten`` writes it.
        """
        made = make_violation(incident, sanction, (), wall_ms, self._gate)
        entry = Violated(dataclasses.replace(made, durable_in="journal"), sanction)
        try:
            violation = self._recorded(incident, sanction, wall_ms)
        except Exception:
            self.unwritten.hold(entry)
            raise
        self.unwritten.written(entry)
        return violation

    def _recorded(self, incident: Incident, sanction: Sanction, wall_ms: int) -> Violation:
        if self._away:
            try:
                return self._record_in_journal(incident, sanction, wall_ms)
            except LedgerUnavailable:
                return super().record_violation(incident, sanction, wall_ms)
        try:
            return self._record_in_ledger(incident, sanction, wall_ms)
        except Exception as error:
            # A cut must not depend on the ledger.
            if _is_refusal(error):
                self._report(LedgerRefused("violation", str(error)))
            else:
                self._goes_away(error)
        return self._record_in_journal(incident, sanction, wall_ms)

    def _record_in_ledger(self, incident: Incident, sanction: Sanction, wall_ms: int) -> Violation:
        """Waits no longer than a cut may. A write that ends later gives the same violation as the journal."""
        record = functools.partial(super().record_violation, incident, sanction, wall_ms)
        if not self.shared:
            return record()
        # A time limit inside the connection covers neither the name server nor a server that takes
        # connections and answers nothing.
        recording = self._cuts.submit(record)
        try:
            return recording.result(self._database.patience_ms / 1000 + _CUT_MARGIN_S)
        except TimeoutError:
            recording.cancel()
            raise LedgerUnavailable("ledger, record a violation: no answer in time") from None

    def close(self) -> None:
        super().close()
        self._cuts.shutdown(wait=False, cancel_futures=True)

    def record_incident(self, incident: Incident, wall_ms: int) -> None:
        self._taken_or_journalled(
            Opened(incident, wall_ms), functools.partial(super().record_incident, incident, wall_ms)
        )

    def record_stream_cut(
        self, stream_id: str, publish: Publish, reason: str, block_id: str | None, wall_ms: int
    ) -> None:
        self._taken_or_journalled(
            StreamCut(stream_id, publish, reason, block_id, wall_ms),
            functools.partial(super().record_stream_cut, stream_id, publish, reason, block_id, wall_ms),
        )

    def _mark(self, incident_id: str, wall_ms: int, what: str, values: dict[str, object]) -> None:
        entry = Marked(incident_id, wall_ms, what, values)
        try:
            self._taken_or_journalled(
                entry, functools.partial(super()._mark, incident_id, wall_ms, what, values)
            )
        except NotFound:
            if self.unwritten.holds_incident(incident_id):
                self.unwritten.hold(entry)
            raise

    def _taken_or_journalled(self, entry: Entry, write: Callable[[], None]) -> None:
        if self._takes(write):
            self.unwritten.written(entry)
        else:
            self._append(entry)

    def _takes(self, write: Callable[[], None]) -> bool:
        """Whether the ledger took the write. Raises the error of a ledger that refuses it."""
        if self._away:
            return False
        try:
            write()
        except Exception as error:
            if _is_refusal(error):
                raise
            self._goes_away(error)
            return False
        return True

    def _goes_away(self, error: Exception) -> None:
        if not isinstance(error, LedgerUnavailable):
            log.error("unforeseen ledger error", exc_info=error)
        if not self._away:
            self._away = True
            log.warning("ledger is away; decisions go to the journal", error=str(error))

    def _append(self, entry: Entry) -> None:
        try:
            with self._journal_lock:
                self._journal.append(entry)
        except LedgerUnavailable:
            self.unwritten.hold(entry)
            raise
        self.unwritten.written(entry)

    def _record_in_journal(self, incident: Incident, sanction: Sanction, wall_ms: int) -> Violation:
        with self._journal_lock:
            if self._waiting is None:
                known = (e.violation for e in self._journal.entries() if isinstance(e, Violated))
                self._waiting = {violation.incident.stream_id: violation for violation in known}
            if (again := self._waiting.get(incident.stream_id)) is not None:
                return again
            of_whom = struck_name(incident.publish)
            earlier = [v.strike for v in self._waiting.values() if compared(v.strike.broadcaster) == of_whom]
            made = make_violation(incident, sanction, earlier, wall_ms, self._gate)
            violation = dataclasses.replace(made, durable_in="journal")
            self._journal.append(Violated(violation, sanction))
            self._waiting[incident.stream_id] = violation
        return violation

    def probe(self) -> tuple[Block, ...]:
        """Checks that the ledger can be written, then does the same as ``reconcile``. Raises
        LedgerUnavailable."""
        return self._bring_home(ping=True)

    def reconcile(self) -> tuple[Block, ...]:
        """Moves the journal into the ledger, each entry once.

        Returns the blocks of its violations as the ledger has them: with the same ids, possibly longer.
        Raises LedgerUnavailable; entries moved before the error are not tried again.
        """
        return self._bring_home(ping=self._away)

    def _bring_home(self, *, ping: bool) -> tuple[Block, ...]:
        try:
            if ping:
                self.ping()
            self._empty_journal()
        except GateError:
            raise
        except Exception as error:
            # An unforeseen error must not end the retries.
            problem = f"{type(error).__name__}: {error}"
            raise LedgerUnavailable(f"ledger, move the journal to it: {problem}") from error
        self._away = False
        adopted, self._adopted = tuple(self._adopted), []
        return adopted

    def _empty_journal(self) -> None:
        if self._journal.size():
            crash_point("reconcile.begin")
            for entry, end in self._journal.entries_after(self._home):
                if entry is None:
                    self.unknown_rows.note("journal", f"until byte {end}", "the entry is kept and skipped")
                else:
                    self._adopt(entry)
                    crash_point("reconcile.adopted")
                    time.sleep(_PAUSE_S)
                self._home = end
            crash_point("reconcile.clear")
            with self._journal_lock:
                # Entries appended meanwhile wait for the next run.
                if self._journal.clear(self._home, self._refused):
                    self._home, self._refused, self._waiting = 0, [], {}
            crash_point("reconcile.cleared")
            self._report(JournalAdopted(len(self._adopted)))

    def _adopt(self, entry: Entry) -> None:
        try:
            match entry:
                case Violated(violation, sanction):
                    self._adopted += self.adopt_violation(violation, sanction).blocks
                case Opened(incident, wall_ms):
                    super().record_incident(incident, wall_ms)
                case Marked():
                    self.adopt_mark(entry.incident_id, entry.wall_ms, entry.what, entry.values)
                case StreamCut():
                    self.adopt_stream_cut(
                        entry.stream_id, entry.publish, entry.reason, entry.block_id, entry.wall_ms
                    )
        except LedgerUnavailable:
            raise
        except (GateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            # What one entry says must not hold up the others.
            self._report(LedgerRefused("journal entry", str(error)))
            self._refused.append(entry)


def _is_refusal(error: Exception) -> bool:
    """Whether the ledger answers and refuses the write."""
    return isinstance(error, GateError) and not isinstance(error, LedgerUnavailable)


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < _ROOM_BYTES
