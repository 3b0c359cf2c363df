"""Keeps the journal's disk space, and raises alarms for what is not on disk as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge.domain import shown_account
from edge.ledger import DurableLedger
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms
from edge.supervise.ledger_executor import LedgerExecutor
from edge.supervise.stream_journal import StreamJournal
from edge.telemetry.records import JournalMeasured
from edge.telemetry.telemetry import Telemetry

JOURNAL, STREAMS = "journal", "streams"
_MB: Final = 2**20
_NAMED: Final = 5


class JournalCare:
    """Looks once a second."""

    def __init__(
        self,
        ledger: DurableLedger,
        executor: LedgerExecutor,
        streams: StreamJournal,
        alarms: Alarms,
        telemetry: Telemetry,
    ) -> None:
        self._ledger = ledger
        self._executor = executor
        self._streams = streams
        self._alarms = alarms
        self._telemetry = telemetry

    async def look(self) -> None:
        reserve = await self._executor.call(self._ledger.keep_reserve)
        unwritten = len(self._ledger.unwritten)
        self._telemetry.report(JournalMeasured(reserve.left_bytes, unwritten))
        found = list(self._never_written())
        if reserve.problem:
            left = f"{reserve.left_bytes / _MB:.1f} of {reserve.wanted_bytes // _MB} MB"
            found.append(Alarm(AlarmReason.RESERVE, "", f"{left} are left: {reserve.problem}"))
        if unwritten:
            detail = f"{unwritten} decisions are in memory alone: neither ledger nor journal takes them"
            found.append(Alarm(AlarmReason.IN_MEMORY, "", detail))
        self._alarms.set_alarms(JOURNAL, found)
        streams = self._streams.problem
        self._alarms.set_alarms(STREAMS, [Alarm(AlarmReason.IN_MEMORY, "", streams)] if streams else [])

    def _never_written(self) -> Iterator[Alarm]:
        missing = self._ledger.unwritten.missing
        if missing:
            named = ", ".join(
                f"{each.what} {each.subject} of {shown_account(each.broadcaster)}"
                for each in missing[:_NAMED]
            )
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            detail = f"an earlier run decided and never wrote: {named}{more}"
            yield Alarm(AlarmReason.NEVER_WRITTEN, "", detail)
