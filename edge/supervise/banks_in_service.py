"""Keeps the verified copies of the banks up to date. Workers read these alone.

It looks at the files of the banks every few seconds. When they have changed, a process of its own checks
and copies them (``edge.match.bank.verified_copies``), and the workers reload.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import structlog

from edge.background import BackgroundTasks
from edge.backoff import backoff_ms
from edge.clock import Clock
from edge.config import Settings
from edge.errors import BankError
from edge.own_process import run_module
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms
from edge.telemetry.records import MatchingFailed
from edge.telemetry.telemetry import Telemetry

PART = "banks"
LOOK_S = 2.0
"""Interval between two looks at the files of the banks."""
AGAIN_MS, MOST_AGAIN_MS = 15_000, 600_000
"""First and longest pause until banks with a problem are checked again although their files are the same."""
EVERY_BYTE_MS = 24 * 3_600_000.0
"""Interval at which all files are checked byte by byte although nothing has changed."""
FAILED_MS = 600_000.0
"""How long the alarm stands after the last failure of matching."""
MOST_LOOKS = 5
"""Looks after which files that go on changing are checked all the same."""
LARGE_BYTES = 64 * 2**20
"""Size from which a starting gate checks its copies only. It checks the banks' own files once it runs."""
_START_S = 60.0
"""How long a starting gate waits for its banks. Then it starts with the copies that it has."""
_RUN_S = 1800.0
_ERROR_CHARS = 500
_UNREADABLE = (AlarmReason.UNREADABLE, AlarmReason.NOT_COPIED, AlarmReason.LOST)

Files = Mapping[str, tuple[int, int, int]]
"""Inode, size and mtime of each file of a folder of banks, by name."""

log = structlog.get_logger(__name__)


class BanksInService:
    """The banks that the workers use, and what is wrong with them."""

    def __init__(
        self,
        settings: Settings,
        alarms: Alarms,
        telemetry: Telemetry,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        """``changed`` is called when the copies may have changed."""
        self._source = settings.banks
        self._must_exist = settings.bank_dir is not None
        self._copies = settings.bank_copies
        self._alarms = alarms
        self._telemetry = telemetry
        self._clock = clock
        self._changed = changed
        self._wake = asyncio.Event()
        self._checked = asyncio.Event()
        self._every_byte = False
        self._files: Files = {}
        """The files as the last check found them."""
        self._copied: Files = {}
        """The copies as the last check left them."""
        self._problems: list[Alarm] = []
        self._failed = 0
        self._failed_ms = self._rechecked_ms = float("-inf")
        self._tries = 0
        self._again_ms = float("inf")
        self._every_byte_ms = clock.monotonic_ms()

    async def start(self, tasks: BackgroundTasks) -> None:
        """Checks all banks, and goes on looking at them. Returns when the workers may open the copies."""
        first = tasks.start(self._first_check())
        done, _ = await asyncio.wait({first}, timeout=_START_S)
        if not done:
            log.error("the banks are still being checked; the gate starts with the copies that it has")
        tasks.keep(partial(self._run, first))

    async def copy_again(self) -> None:
        """Checks every byte and makes copies that are gone. Returns once that is done."""
        self._checked.clear()
        self._every_byte = True
        self._wake.set()
        await self._checked.wait()

    def ask(self) -> None:
        """Takes in a change of the gate's own at once."""
        self._wake.set()

    @property
    def unreadable(self) -> int:
        """Number of banks that are left out, or in use as they were read last."""
        return sum(problem.reason in _UNREADABLE for problem in self._problems)

    def workers_report(self, unreadable: int, failed: int) -> None:
        """Takes how many copies the workers cannot read, and how often matching has failed so far."""
        if failed > self._failed:
            self._telemetry.report(MatchingFailed(failed - self._failed))
            self._failed = failed
            self.matching_failed()
        elif unreadable:
            self._recheck()

    def matching_failed(self) -> None:
        """Raises the alarm and checks every byte. A worker crashed in the banks, or could not search one."""
        self._failed_ms = self._clock.monotonic_ms()
        self._say()
        self._recheck()

    def _recheck(self) -> None:
        """Checks all files and copies again, but not all the time."""
        now = self._clock.monotonic_ms()
        if now - self._rechecked_ms >= AGAIN_MS:
            self._rechecked_ms = now
            self._every_byte = True
            self._wake.set()

    async def _first_check(self) -> None:
        # Workers that are contained may read only folders that are there when they start.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._copies.mkdir, mode=0o700, parents=True, exist_ok=True)
        self._files = await asyncio.to_thread(files_of, self._source)
        large = sum(size for _, size, _ in self._files.values()) > LARGE_BYTES
        await self._check("copies" if large else "all")
        self._every_byte |= large

    async def _run(self, first: asyncio.Task[None]) -> None:
        await asyncio.wait({first})
        seen, looks = self._files, 0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            asked = self._wake.is_set()
            self._wake.clear()
            now = self._clock.monotonic_ms()
            self._every_byte |= now - self._every_byte_ms >= EVERY_BYTE_MS
            before, seen = seen, await asyncio.to_thread(files_of, self._source)
            # Nobody else changes the copies. What somebody deletes is copied again, also while a check
            # goes on: each bank has a copy, or a problem.
            copies = await asyncio.to_thread(files_of, self._copies)
            lacking = not self._problems and _banks(self._files) - _banks(copies)
            self._every_byte |= bool(lacking) or copies != self._copied
            changed = seen != self._files
            looks = looks + 1 if changed else 0
            # A file that still changes is being written. Its turn comes when it rests.
            settled = changed and (seen == before or looks >= MOST_LOOKS)
            if asked or settled or self._every_byte or now >= self._again_ms:
                all_again = self._every_byte or _any_rewritten(self._files, seen)
                self._every_byte, looks = False, 0
                self._tries = 0 if changed else self._tries + 1
                self._files = seen
                await self._check("all" if all_again else "new")
            self._say()

    async def _check(self, extent: str) -> None:
        """Checks and copies. ``extent`` is what is read byte by byte beside new segments."""
        if extent == "all":
            self._every_byte_ms = self._clock.monotonic_ms()
        try:
            problems = await self._refresh(extent)
        except (BankError, OSError) as error:  # OSError: no process can be started now
            problems = [Alarm(AlarmReason.NOT_COPIED, "", str(error))]
        if self._must_exist and not await asyncio.to_thread(self._source.is_dir):
            problems.append(Alarm(AlarmReason.MISSING, "", f"{self._source}: no such folder"))
        self._problems = problems
        pause_ms = backoff_ms(self._tries + 1, AGAIN_MS, MOST_AGAIN_MS)
        self._again_ms = self._clock.monotonic_ms() + pause_ms if problems else float("inf")
        self._copied = await asyncio.to_thread(files_of, self._copies)
        self._say()
        self._changed()
        self._checked.set()

    def _say(self) -> None:
        alarms = list(self._problems)
        if self._clock.monotonic_ms() - self._failed_ms < FAILED_MS:
            alarms.append(
                Alarm(AlarmReason.FAILED, "", "a worker crashed in the banks, or could not search one")
            )
        self._alarms.set_alarms(PART, alarms)

    async def _refresh(self, extent: str) -> list[Alarm]:
        """Runs the copying process. Raises BankError when it does not end well."""
        copied = await asyncio.to_thread(files_of, self._copies)
        if not copied and not self._files:
            return []
        try:
            ended = await run_module(
                "edge.match.bank.verified_copies",
                str(self._source),
                str(self._copies),
                extent,
                longest_s=_RUN_S,
            )
        except TimeoutError:
            raise BankError(f"checking the banks took more than {_RUN_S:.0f} s") from None
        try:
            return [
                Alarm(AlarmReason(one["reason"]), one["bank"], one["detail"])
                for one in json.loads(ended.said)
            ]
        except (ValueError, TypeError, KeyError):
            end = ended.wrong.decode(errors="replace")[-_ERROR_CHARS:]
            raise BankError(f"checking the banks ended with {ended.code}: {end}") from None


def files_of(folder: Path) -> Files:
    """Returns the files of a folder of banks. Never raises: an error is part of the answer."""
    found: dict[str, tuple[int, int, int]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".bank", ".seg")):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        found[entry.name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {str(error): (0, 0, 0)}
    return found


def _banks(files: Files) -> set[str]:
    return {name for name in files if name.endswith(".bank")}


def _any_rewritten(before: Files, now: Files) -> bool:
    """Whether a segment's file was written again, which banks never do by themselves."""
    return any(name.endswith(".seg") and stamp != now[name] for name, stamp in before.items() if name in now)
