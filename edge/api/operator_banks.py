"""Operator calls for banks of known footage: list, read, mark entries, switch."""

from __future__ import annotations

from typing import Final

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_calls import OperatorCalls, limit
from edge.api.status import Context, answers_errors
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput
from edge.match import feed_checkpoints
from edge.match.bank.mark_notes import MarkNote
from edge.supervise.bank_desk import EntryMark, EntryState, ServedEntry
from edge.supervise.bank_hits import MatchCount
from edge.supervise.bank_reading import ServedBank

_MAX_NAME: Final = 64
_MAX_ENTRY: Final = 128
_STATES: Final = {
    operator_pb2.BANK_ENTRY_STATE_UNSPECIFIED: EntryState.ALL,
    operator_pb2.BANK_ENTRY_STATE_DISABLED: EntryState.DISABLED,
    operator_pb2.BANK_ENTRY_STATE_QUARANTINED: EntryState.QUARANTINED,
}
_MARKS: Final = {
    operator_pb2.BANK_MARK_DISABLE: EntryMark.DISABLE,
    operator_pb2.BANK_MARK_ENABLE: EntryMark.ENABLE,
    operator_pb2.BANK_MARK_QUARANTINE: EntryMark.QUARANTINE,
    operator_pb2.BANK_MARK_RELEASE: EntryMark.RELEASE,
}


class BankCalls(OperatorCalls):
    @answers_errors
    async def ListBanks(
        self, request: operator_pb2.ListBanksRequest, context: Context
    ) -> operator_pb2.ListBanksResponse:
        await self.person(context, Role.VIEWER)
        banks, counted = await self._gate.banks.banks(), await self._gate.banks.hits()
        return operator_pb2.ListBanksResponse(
            banks=[_bank(bank, counted.banks.get(bank.name, MatchCount())) for bank in banks],
            hits_since_wall_ms=counted.since_ms,
            hits_cut_short=counted.cut_short,
        )

    @answers_errors
    async def ListBankEntries(
        self, request: operator_pb2.ListBankEntriesRequest, context: Context
    ) -> operator_pb2.ListBankEntriesResponse:
        await self.person(context, Role.VIEWER)
        page = await self._gate.banks.entries(
            bounds.text("bank", request.bank, _MAX_NAME, required=True),
            _STATES[bounds.member("state", request.state, _STATES)],
            bounds.text("entry_id", request.entry_id, _MAX_ENTRY),
            bounds.text("after", request.after, 16),
            limit(request.limit),
        )
        counted = await self._gate.banks.hits()
        return operator_pb2.ListBankEntriesResponse(
            entries=[_entry(each) for each in page.entries],
            next=page.next,
            bank=_bank(page.bank, counted.banks.get(page.bank.name, MatchCount())),
        )

    @answers_errors
    async def MarkBankEntry(
        self, request: operator_pb2.MarkBankEntryRequest, context: Context
    ) -> operator_pb2.BankEntry:
        person = await self.person(context, Role.REVIEWER)
        if request.mark not in _MARKS:
            raise InvalidInput("mark", "must be DISABLE, ENABLE, QUARANTINE or RELEASE")
        marked = await self._gate.banks.mark(
            bounds.text("bank", request.bank, _MAX_NAME, required=True),
            bounds.text("entry_id", request.entry_id, _MAX_ENTRY, required=True),
            _MARKS[request.mark],
            self.reason(request.reason),
            person.name,
        )
        return _entry(marked)

    @answers_errors
    async def SwitchBank(
        self, request: operator_pb2.SwitchBankRequest, context: Context
    ) -> operator_pb2.Bank:
        person = await self.person(context, Role.ADMIN)
        name = bounds.text("bank", request.bank, _MAX_NAME, required=True)
        reason = self.reason(request.reason)
        bank = await self._gate.banks.switch(name, request.enabled, reason, person.name)
        counted = await self._gate.banks.hits()
        return _bank(bank, counted.banks.get(name, MatchCount()))


def _bank(bank: ServedBank, hits: MatchCount) -> operator_pb2.Bank:
    manifest, info = bank.manifest, bank.manifest.info
    return operator_pb2.Bank(
        name=bank.name,
        opinion=info.opinion.value,
        severity=info.severity.value,
        label=info.label,
        source=info.source,
        note=info.note,
        enabled=info.enabled,
        enabled_ratio=info.enabled_ratio,
        expires_wall_ms=info.expires_ms or 0,
        runaway_streams=info.runaway_streams,
        entries=manifest.entries,
        hashes=manifest.hashes,
        disabled=len(manifest.disabled),
        quarantined=len(manifest.quarantined),
        checkpoints=feed_checkpoints(manifest.checkpoints),
        problem=bank.problem,
        hits=_hits(hits),
        switched=_note(bank.switched),
    )


def _entry(served: ServedEntry) -> operator_pb2.BankEntry:
    entry = served.entry
    return operator_pb2.BankEntry(
        id=entry.id,
        kind=entry.kind.value,
        label=served.label,
        source=entry.source,
        note=entry.note,
        duration_ms=entry.duration_ms,
        added_wall_ms=entry.added_ms,
        disabled=served.disabled,
        quarantined=served.quarantined,
        marked=_note(served.marked) if served.disabled or served.quarantined else None,
        hits=_hits(served.hits),
    )


def _hits(hits: MatchCount) -> operator_pb2.BankHits:
    return operator_pb2.BankHits(
        incidents=hits.incidents,
        overturned=hits.overturned,
        last_wall_ms=hits.last_ms,
        last_incident_id=hits.last_id,
        counted=hits.counted,
    )


def _note(note: MarkNote | None) -> operator_pb2.BankNote | None:
    if note is None:
        return None
    return operator_pb2.BankNote(by=note.by, reason=note.reason, wall_ms=note.wall_ms)
