"""Crises at one gate: people declare, confirm and end them; their time ends them; the policy follows.

What is in force is what the ledger says, so each gate of a fleet does the same. Each gate also ends them: the
first that does writes it down.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from edge.background import BackgroundTasks
from edge.crisis import Crisis, CrisisState, checked_patch, declared
from edge.crisis.countdown import Countdown
from edge.crisis.crisis import NOT_CONFIRMED, TIME_OVER
from edge.domain import Action
from edge.durable_files import write_file
from edge.errors import BankError, Conflict, GateError
from edge.ledger import AuditRow
from edge.match import BankPurpose, bank_path
from edge.policy import Policy
from edge.report.crisis import CrisisReport, crisis_report
from edge.supervise.actions import OperatorActions
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.context import Context
from edge.telemetry.records import GATE, CrisesInForce, CrisisChanged

KEPT: Final = "crises.json"
"""File in the data directory: how long each crisis has left."""
_LOOK_S: Final = 1.0
_KEEP_MS: Final = 10_000
_PURPOSES: Final = {
    Action.CUT: BankPurpose.VIOLATING,
    Action.FLAG: BankPurpose.INVESTIGATE,
    Action.PASS: BankPurpose.COUNT,
}
"""What a bank is for, by the strongest action that its matches ask for."""
_Change = Callable[[Crisis], Crisis]

log = structlog.get_logger(__name__)


class CrisisDesk:
    """Lives in one event loop. ``take`` and ``run`` bring what the ledger says into force."""

    def __init__(
        self, context: Context, actions: OperatorActions, updates: BankUpdates, tasks: BackgroundTasks
    ) -> None:
        self._context = context
        self._tasks = tasks
        self._actions = actions
        self._updates = updates
        self._file = context.settings.data_dir / KEPT
        self._countdown = Countdown({}, context.clock.monotonic_ms())
        self._known: dict[str, Crisis] = {}
        """Those that have not ended, by name."""
        self._making_bank = asyncio.Lock()
        self._left: dict[str, int] = {}
        self._kept: dict[str, int] = {}

    @property
    def in_force(self) -> tuple[Crisis, ...]:
        """The crises in force at this gate, in order of their names."""
        return self._context.in_force.crises

    async def start(self) -> None:
        """Puts in force what the ledger says. Raises LedgerUnavailable."""
        kept = await asyncio.to_thread(_read_kept, self._file)
        self._countdown = Countdown(kept, self._context.clock.monotonic_ms())
        self.take(await self._context.executor.call(self._context.ledger.crises, ended=False))

    def take(self, crises: tuple[Crisis, ...]) -> asyncio.Task[None] | None:
        """Takes the crises that have not ended from the ledger. The returned task ends when streams know."""
        known = {crisis.name: crisis for crisis in crises}
        for name in self._known.keys() - known.keys():
            self._report(replace(self._known[name], state=CrisisState.ENDED))
        for crisis in crises:
            before = self._known.get(crisis.name)
            if before is None or before.state is not crisis.state:
                self._report(crisis)
        self._known = known
        return self._apply()

    async def report(self, name: str) -> tuple[Crisis, tuple[AuditRow, ...], CrisisReport]:
        """A crisis with its log and its figures. Raises NotFound and LedgerUnavailable."""
        context, ledger = self._context, self._context.operator_ledger
        now = context.clock.wall_ms()

        def read() -> tuple[Crisis, tuple[AuditRow, ...], CrisisReport]:
            crisis, log = ledger.crisis(name), ledger.crisis_log(name)
            return crisis, log, crisis_report(crisis, log, ledger.crisis_matches(crisis), now)

        return await context.executor.person(read)

    async def declare(self, crisis: Crisis) -> Crisis:
        """Declares a crisis: it is in force, or waits for a second person. Raises InvalidInput and Conflict.

        ``crisis`` holds what the person says; its patch is theirs alone.
        """
        context = self._context
        rules = context.policy.crisis
        made = declared(crisis, two_people=rules.two_people, longest_ms=rules.longest_ms)
        made = await asyncio.to_thread(_with_checked_patch, made, context.policy)
        made = await context.executor.person(context.operator_ledger.declare_crisis, made)
        await self._refresh()
        self._open_bank_soon(made)
        return made

    async def confirm(self, name: str, by: str, reason: str) -> Crisis:
        """A second person puts a crisis in force. Raises NotFound, Conflict and PermissionRefused."""
        now = self._context.clock.wall_ms()
        changed = await self._change(name, "crisis_confirmed", by, reason, lambda c: c.confirmed(by, now))
        self._open_bank_soon(changed)
        return changed

    async def end(self, name: str, by: str, reason: str) -> Crisis:
        """Ends a crisis before its time, or takes back a proposed one. Raises NotFound and Conflict."""
        now = self._context.clock.wall_ms()
        before = await self._context.executor.call(self._context.ledger.crisis, name)
        before.ended(by, reason, now)  # raises before the bank is touched
        await self._close_bank(before)
        return await self._change(name, "crisis_ended", by, reason, lambda c: c.ended(by, reason, now))

    async def run(self) -> None:
        """Ends what is past its time, until it is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._known:
                await self.look()

    async def look(self) -> None:
        """Ends what is past its time now. Notes how long the others have left."""
        self._apply()
        over = [crisis for crisis in self._known.values() if self._left.get(crisis.name) == 0]
        for crisis in () if self._context.executor.down else over:
            await self._end_by_itself(crisis)
        await self._keep()

    async def _end_by_itself(self, crisis: Crisis) -> None:
        reason = NOT_CONFIRMED if crisis.state is CrisisState.PROPOSED else TIME_OVER
        try:
            await self.end(crisis.name, GATE, reason)
        except Conflict:  # another gate has
            await self._refresh()
        except (GateError, OSError) as error:
            log.warning("the end of a crisis waits for the ledger", error=str(error))

    async def _change(self, name: str, what: str, by: str, reason: str, change: _Change) -> Crisis:
        context = self._context
        now = context.clock.wall_ms()
        changed = await context.executor.person(
            context.operator_ledger.change_crisis, name, change, what, by, reason, now
        )
        await self._refresh()
        return changed

    async def _refresh(self) -> None:
        telling = self.take(await self._context.executor.call(self._context.ledger.crises, ended=False))
        if telling is not None:
            await asyncio.wait({telling})
        await self._keep()

    def _apply(self) -> asyncio.Task[None] | None:
        """Puts in force what is to be in force now."""
        clock = self._context.clock
        crises = sorted(self._known.values(), key=lambda crisis: crisis.name)
        self._left = self._countdown.look(crises, clock.wall_ms(), clock.monotonic_ms())
        wanted = tuple(c for c in crises if c.state is CrisisState.IN_FORCE and self._left[c.name] > 0)
        if wanted == self.in_force:
            return None
        drills = sum(crisis.drill for crisis in wanted)
        self._context.telemetry.report(CrisesInForce(len(wanted) - drills, drills))
        return self._actions.apply_crises(wanted)

    async def ready_bank(self, crisis: Crisis) -> None:
        """Makes the bank of a crisis where it is missing. Raises BankError and OSError."""
        async with self._making_bank:
            if not await asyncio.to_thread(bank_path(self._context.settings.banks / crisis.bank).exists):
                await self._open_bank(crisis)

    def _open_bank_soon(self, crisis: Crisis) -> None:
        """The policy need not wait for the bank, which a process of its own makes."""

        async def make() -> None:
            with contextlib.suppress(BankError, OSError):  # whoever adds to it makes it
                await self.ready_bank(crisis)

        self._tasks.start(make())

    async def _open_bank(self, crisis: Crisis) -> None:
        if crisis.state is CrisisState.IN_FORCE:
            await self._set_bank(crisis, Action.FLAG if crisis.drill else Action.CUT)

    async def _close_bank(self, crisis: Crisis) -> None:
        after = Action.PASS if crisis.drill else self._context.policy.crisis.bank_after
        if crisis.state is CrisisState.IN_FORCE and after is not Action.CUT:
            await self._set_bank(crisis, after)

    async def _set_bank(self, crisis: Crisis, strongest: Action) -> None:
        said = f"{'drill' if crisis.drill else 'crisis'} {crisis.name}"
        # A wave of copies is what the bank is for: no number of streams quarantines an entry.
        await self._updates.set_bank(
            crisis.bank,
            opinion=_PURPOSES[strongest],
            source=said,
            runaway_streams=0,
            reason=said,
            by=GATE,
        )

    async def _keep(self) -> None:
        """Writes down how long each crisis has left, every few seconds and when there are others."""
        left = dict(self._countdown.left)
        if left.keys() == self._kept.keys() and all(
            self._kept[name] - left_ms < _KEEP_MS for name, left_ms in left.items()
        ):
            return
        with contextlib.suppress(OSError):  # the wall clock has to do
            await asyncio.to_thread(write_file, self._file, json.dumps(left).encode())
            self._kept = left

    def _report(self, crisis: Crisis) -> None:
        changed = CrisisChanged(crisis.name, crisis.state.value, crisis.drill, crisis.until_ms)
        self._context.telemetry.report(changed)


def _with_checked_patch(crisis: Crisis, policy: Policy) -> Crisis:
    """A patch is checked off the event loop, as a policy is."""
    return replace(crisis, patch=checked_patch(policy, crisis.patch))


def _read_kept(path: Path) -> dict[str, int]:
    try:
        kept = json.loads(path.read_bytes())
        return {str(name): int(left_ms) for name, left_ms in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
