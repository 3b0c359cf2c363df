"""Looks after the folders of workers: they stay the same ones, and what workers write stays within bounds.

Landlock lets a worker into the folder that was there when it started, and not into another one of the same
name. So a folder that somebody deletes while the gate runs is made anew, and all workers are replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from edge.clock import Clock
from edge.errors import ModelError
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms
from edge.workers.pool import WorkerPool

PART: Final = "workers"
LOOK_S: Final = 1.0
_AGAIN_MS: Final = 60_000.0
STANDS_MS: Final = 600_000.0
"""How long an alarm stands after the last cause."""
MOST_FILES: Final = 4096
"""Most files that may wait in the folder that workers write to."""

Identity = tuple[int, int] | None
"""Device and inode of a folder. None where there is none."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """What is in the folder that workers write to."""

    bytes: int
    files: int
    writers: frozenset[int]
    """Workers that have a file of it open, also a removed one, whose space is free only once they end."""


class WorkerFolders:
    """One service of the gate. ``watch`` runs until it is cancelled."""

    def __init__(
        self,
        read: Mapping[Path, Callable[[], Awaitable[object]]],
        incoming: Path,
        most_bytes: int,
        pool: WorkerPool,
        alarms: Alarms,
        clock: Clock,
    ) -> None:
        """``read`` maps each folder that workers read to what fills it again. ``incoming`` is the one that
        they write to, at most ``most_bytes`` at a time."""
        self._read = read
        self._incoming = incoming
        self._most_bytes = most_bytes
        self._pool = pool
        self._alarms = alarms
        self._clock = clock
        self._known: dict[Path, Identity] = {}
        self._standing: dict[Alarm, float] = {}
        """When each alarm's cause was seen last."""
        self._owes_workers = False
        """Whether workers run that know another folder."""
        self._again_ms = 0.0

    def note(self) -> None:
        """Remembers the folders as they are. Call it before workers start."""
        for folder in (*self._read, self._incoming):
            with contextlib.suppress(OSError):  # A later look makes it, and says so.
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._known[folder] = _identity(folder)

    async def watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        lost = await asyncio.to_thread(self._made_anew)
        for folder in lost:
            self._raise(Alarm(AlarmReason.FOLDER_GONE, folder.name, f"{folder}: was deleted or replaced"))
        await self._bound_incoming()
        self._say()
        for folder in lost:
            if folder in self._read:
                await self._read[folder]()
        self._owes_workers |= bool(lost)
        if self._owes_workers and self._clock.monotonic_ms() >= self._again_ms:
            await self._replace_workers()

    async def _replace_workers(self) -> None:
        self._again_ms = self._clock.monotonic_ms() + _AGAIN_MS
        try:
            await self._pool.replace_workers()
            self._owes_workers, self._again_ms = False, 0.0
        except ModelError as error:
            log.error("workers stay, since others could not start; put a model in force", error=str(error))

    def _made_anew(self) -> list[Path]:
        """Makes folders that are gone. Returns those that are not the ones that workers know."""
        lost = []
        for folder, known in self._known.items():
            now = _identity(folder)
            if now == known and now is not None:
                continue
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                log.error("a folder of workers cannot be made", folder=str(folder), error=str(error))
            lost.append(folder)
        self._known |= {folder: _identity(folder) for folder in lost}
        return [folder for folder in lost if self._known[folder] is not None]

    async def _bound_incoming(self) -> None:
        """Removes what workers have written over the bounds, and ends those that hold it open.

        The gate takes clips in within moments. So much of it comes from a worker that its media has taken
        over, or from a disk that the gate cannot write to.
        """
        pids = self._pool.every_process()
        written = await asyncio.to_thread(_written, self._incoming, pids)
        if written.bytes <= self._most_bytes and written.files <= MOST_FILES:
            return
        detail = (
            f"{written.files} files of {written.bytes // 2**20} MB wait in {self._incoming}; "
            f"{MOST_FILES} of {self._most_bytes // 2**20} MB may"
        )
        self._raise(Alarm(AlarmReason.TOO_MUCH, self._incoming.name, detail))
        for pid in written.writers:
            self._pool.condemn(pid, "worker writes too much evidence")
        removed = await asyncio.to_thread(_emptied, self._incoming)
        log.error("evidence that waited was removed", files=removed, detail=detail)

    def _raise(self, alarm: Alarm) -> None:
        same = (known for known in self._standing if known.reason is alarm.reason)
        known = next((each for each in same if each.subject == alarm.subject), alarm)
        self._standing[known] = self._clock.monotonic_ms()

    def _say(self) -> None:
        now = self._clock.monotonic_ms()
        self._standing = {alarm: at for alarm, at in self._standing.items() if now - at < STANDS_MS}
        self._alarms.set_alarms(PART, self._standing)


def _identity(folder: Path) -> Identity:
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _written(incoming: Path, pids: tuple[int, ...]) -> _Written:
    bytes_, files = 0, 0
    with contextlib.suppress(OSError), os.scandir(incoming) as found:
        for entry in itertools.islice(found, MOST_FILES + 1):
            files += 1
            with contextlib.suppress(OSError):
                bytes_ += entry.stat(follow_symlinks=False).st_blocks * 512
    writers = set()
    for pid in pids:
        held = _held_open(pid, f"{incoming.resolve()}{os.sep}")
        bytes_ += sum(held)
        writers |= {pid} if held else set()
    return _Written(bytes_, files, frozenset(writers))


def _held_open(pid: int, folder: str) -> list[int]:
    """Returns the bytes on disk of each file of a folder that a process has open. 0 for those with a name,
    which are counted by it."""
    found = []
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                if os.readlink(descriptor.path).startswith(folder):
                    status = os.stat(descriptor.path)
                    found.append(0 if status.st_nlink else status.st_blocks * 512)
    return found


def _emptied(incoming: Path) -> int:
    """Removes every file. Returns their number."""
    removed = 0
    with contextlib.suppress(OSError), os.scandir(incoming) as found:
        for entry in found:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
                removed += 1
    return removed
