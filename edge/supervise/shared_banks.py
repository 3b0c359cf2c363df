"""Keeps what is shared with other companies up to date, and puts on record what each of them takes.

It looks at the verified copies of the banks, which stay as they were where a bank's own files are damaged,
gone or an older copy. So no accident here withdraws anything elsewhere.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Final

from edge.domain import INCIDENT_BANK
from edge.errors import BankError, LedgerUnavailable
from edge.match.bank.bank_set import Stamp, stamp_of
from edge.own_process import run_module
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms
from edge.supervise.context import Context

LOOK_S: Final = 1.0
"""Interval between two looks at the copies of the banks."""
_RUN_S: Final = 3600.0
_PART: Final = "share"


class SharedBanks:
    """The banks that peers may have, as their logs say."""

    def __init__(self, context: Context, alarms: Alarms) -> None:
        self._context = context
        self._alarms = alarms
        self._taken: tuple[Stamp, frozenset[str], frozenset[str]] | None = None
        """What the logs were brought up to date with: files, banks and what is held back."""

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            await self.bring_up_to_date()
            await asyncio.sleep(LOOK_S)

    async def bring_up_to_date(self) -> None:
        """Takes what has changed in the banks, if anything has."""
        context = self._context
        banks = context.settings.share.banks
        stamp = await asyncio.to_thread(stamp_of, context.settings.bank_copies)
        shared = tuple(one for one in stamp if one[0].removesuffix(".bank") in banks)
        try:
            held_back = await self._held_back()
        except LedgerUnavailable:  # it says so itself, and nothing new is shared meanwhile
            return
        if (shared, banks, held_back) == self._taken:
            return
        problems = await self._follow(banks, held_back)
        self._alarms.set_alarms(_PART, problems)
        self._taken = shared, banks, held_back

    async def _held_back(self) -> frozenset[str]:
        """Confirmed incidents that a second person has yet to stand for."""
        context = self._context
        wanted = INCIDENT_BANK in context.settings.share.banks
        if not wanted or not context.policy.sharing.second_person:
            return frozenset()
        return await context.executor.call(context.ledger.confirmed_by_one)

    async def _follow(self, banks: Iterable[str], held_back: Iterable[str]) -> list[Alarm]:
        settings = self._context.settings
        held = {INCIDENT_BANK: sorted(held_back)}
        asked = json.dumps({bank: held.get(bank, []) for bank in sorted(banks)})
        folders = str(settings.bank_copies), str(settings.share_logs)
        try:
            ended = await run_module(
                "edge.sharing.share_index", *folders, given=asked.encode(), longest_s=_RUN_S
            )
        except TimeoutError:
            raise BankError(f"shared banks took more than {_RUN_S:.0f} s to be read") from None
        if ended.code:
            raise BankError(ended.problem)
        return [
            Alarm(
                AlarmReason.MISSING if found["missing"] else AlarmReason.UNREADABLE,
                bank,
                str(found["problem"]),
            )
            for bank, found in json.loads(ended.said).items()
            if found["problem"] and not (found["missing"] and bank == INCIDENT_BANK)
        ]

    async def note_taken(self, peer: str, bank: str, entries: int, withdrawn: int) -> None:
        """Puts on record what a peer has taken. Raises LedgerUnavailable."""
        context = self._context
        await context.executor.person(
            context.operator_ledger.note_bank_taken, peer, bank, entries, withdrawn, context.clock.wall_ms()
        )
