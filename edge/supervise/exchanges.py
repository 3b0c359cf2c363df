"""Runs the exchanges of the folder of banks when they are due, each in a process of its own.

In a fleet, a gate runs an exchange while it holds it in the ledger, so that one gate at a time does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from edge.background import BackgroundTasks
from edge.errors import GateError, LedgerUnavailable
from edge.exchange.definition import Definition, exchange_files, read_definition
from edge.exchange.mirror import mirror_path, read_notes
from edge.exchange.run_status import RunStatus
from edge.exchange.sync import STATUS
from edge.policy import ExchangeRule
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms
from edge.supervise.context import Context
from edge.telemetry.records import ExchangeMissed, ExchangeSynced

PART: Final = "exchange"
LOOK_S: Final = 5.0
"""Interval between two looks at the exchanges of the folder."""
LONGEST_MS: Final = 1_800_000
"""Time after which a run ends with what it has."""
_KILL_S: Final = LONGEST_MS / 1000 + 900
"""Time after which its process is killed. Filling large banks takes longer than fetching."""
_HOLD_MS: Final = 120_000
_RENEW_S: Final = 30.0
_AT_ONCE: Final = 2
"""Most exchanges that run at the same time."""
_ERROR_CHARS: Final = 500
_ENDED: Final = b"was ended: it took too long, or the ledger does not say that it is still this gate's"
_TABLE: Final = TypeAdapter(tuple[ExchangeRule, ...])

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Listed:
    """An exchange of the folder, or what is wrong with its file."""

    name: str
    definition: Definition | None
    status: RunStatus
    problem: str = ""


class Exchanges:
    """The exchanges of one gate. ``changed`` is called when banks may have changed."""

    def __init__(
        self,
        folder: Path,
        context: Context,
        alarms: Alarms,
        changed: Callable[[], None],
        tasks: BackgroundTasks,
    ) -> None:
        self._folder = folder
        self._context = context
        self._alarms = alarms
        self._changed = changed
        self._tasks = tasks
        self._running: dict[str, asyncio.Task[None]] = {}
        self._not_before_ms: dict[str, int] = {}
        """Until when an exchange is left alone, whatever its status says."""
        self._elsewhere: set[str] = set()
        """What another gate has, or has fetched."""

    async def watch(self) -> None:
        """Runs for ever."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._running.values():
                task.cancel()

    async def look(self) -> None:
        """Starts what is due, and says what is wrong."""
        found = await asyncio.to_thread(self._find)
        now_ms = self._context.clock.wall_ms()
        self._alarms.set_alarms(PART, [alarm for each in found for alarm in self._alarms_of(each, now_ms)])
        for each in found:
            if each.definition is None or each.name in self._running or len(self._running) >= _AT_ONCE:
                continue
            due_ms = each.status.due_ms(each.definition)
            if due_ms is not None and max(due_ms, self._not_before_ms.get(each.name, 0)) <= now_ms:
                task = self._tasks.start(self._run(each.definition), f"exchange {each.name}")
                self._running[each.name] = task
                task.add_done_callback(partial(self._forget, each.name))

    def _forget(self, name: str, _: asyncio.Task[None]) -> None:
        self._running.pop(name, None)

    def _find(self) -> list[_Listed]:
        found = []
        for path in exchange_files(self._folder):
            status = RunStatus.of(read_notes(mirror_path(self._folder, path.stem)).get(STATUS))
            try:
                found.append(_Listed(path.stem, read_definition(path), status))
            except GateError as error:
                found.append(_Listed(path.stem, None, status, str(error)))
        return found

    def _alarms_of(self, each: _Listed, now_ms: int) -> list[Alarm]:
        if each.definition is None:
            return [Alarm(AlarmReason.UNREADABLE, each.name, each.problem)]
        if not each.definition.enabled or each.name in self._elsewhere:
            return []
        alarms = []
        if each.status.failing():
            alarms.append(Alarm(AlarmReason.NOT_FETCHED, each.name, each.status.error))
        if each.status.stale(each.definition, now_ms):
            alarms.append(Alarm(AlarmReason.STALE, each.name, "nothing was fetched for several periods"))
        return alarms

    async def _run(self, definition: Definition) -> None:
        name, shared = definition.name, self._context.ledger.shared
        try:
            # A run whose process dies leaves no status, and must not begin again at once.
            self._not_before_ms[name] = self._context.clock.wall_ms() + round(_RENEW_S * 1000)
            if shared and not await self._claim(name, definition.every_s * 1000):
                self._elsewhere.add(name)
                return
            self._elsewhere.discard(name)
        except LedgerUnavailable:  # it has its own alarm
            return
        done = False
        try:
            done = await self._run_process(definition, shared=shared)
            self._not_before_ms.pop(name, None)
        finally:
            if shared:
                with contextlib.suppress(LedgerUnavailable):
                    await self._release(name, done)

    async def _claim(self, name: str, every_ms: int = 0) -> bool:
        context = self._context
        return await context.executor.person(
            context.operator_ledger.claim_exchange, name, context.clock.wall_ms(), _HOLD_MS, every_ms
        )

    async def _release(self, name: str, done: bool) -> None:
        context = self._context
        await context.executor.person(
            context.operator_ledger.release_exchange, name, context.clock.wall_ms(), done=done
        )

    async def _run_process(self, definition: Definition, *, shared: bool) -> bool:
        """Runs it. Returns whether it fetched all that there was."""
        path = str(self._folder / definition.name)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge.exchange.process", path, str(LONGEST_MS)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        table = _TABLE.dump_json(self._context.policy.exchanges)
        keeping = self._tasks.start(self._keep(definition.name), awaited=True) if shared else None
        waiting: asyncio.Task[Any] = self._tasks.start(process.communicate(table), awaited=True)
        try:
            ends = {waiting} if keeping is None else {waiting, keeping}
            await asyncio.wait(ends, timeout=_KILL_S, return_when=asyncio.FIRST_COMPLETED)
            said, wrong = waiting.result() if waiting.done() else (b"", _ENDED)
        finally:
            waiting.cancel()
            if keeping is not None:
                keeping.cancel()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return self._ended(definition, process.returncode or 0, said, wrong)

    async def _keep(self, name: str) -> None:
        """Keeps the exchange. Returns when another gate has it, or nobody knows."""
        with contextlib.suppress(LedgerUnavailable):
            while True:
                await asyncio.sleep(_RENEW_S)
                if not await self._claim(name):
                    return

    def _ended(self, definition: Definition, code: int, said: bytes, wrong: bytes) -> bool:
        if code != 0:
            error = wrong.decode(errors="replace").strip()[-_ERROR_CHARS:] or f"exit code {code}"
            self._context.telemetry.report(ExchangeMissed(definition.name, definition.kind, error))
            self._changed()  # Whole pages that came before the failure are in the banks.
            return False
        run: dict[str, Any] = json.loads(said)
        self._context.telemetry.report(
            ExchangeSynced(
                definition.name,
                definition.kind,
                fetched=run["fetched"],
                added=run["added"],
                replaced=run["replaced"],
                removed=run["removed"],
                left_out=run["left_out"],
                unfinished=run["unfinished"],
            )
        )
        if run["fetched"] or run["all_anew"]:
            self._changed()
        return not run["unfinished"]
