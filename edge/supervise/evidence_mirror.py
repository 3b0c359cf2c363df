"""Puts what the gate writes to its folder of evidence into the bucket, and keeps the folder small.

The folder itself is the list of what is left to do, so nothing is forgotten over a restart or while the
bucket is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from edge.clock import Clock
from edge.durable_files import write_file
from edge.errors import ConfigError, EvidenceStoreFailed, LedgerUnavailable
from edge.evidence import EvidenceFileKind, EvidenceStore, incident_of
from edge.evidence.record import MAX_RECORD_BYTES, completed_record
from edge.reasons import AlarmReason
from edge.settings_file import read_settings_file
from edge.supervise.alarms import Alarm, Alarms

_LOOK_S: Final = 1.0
_AGAIN_S: Final = 5.0
_PART: Final = "evidence_bucket"

log = structlog.get_logger(__name__)


class _Seen(NamedTuple):
    name: str
    bytes: int
    changed_ns: int


class EvidenceMirror:
    """Copies one gate's folder to the bucket. Files leave it ``local_ms`` after their last change."""

    def __init__(
        self,
        folder: Path,
        bucket: EvidenceStore,
        changing: asyncio.Lock,
        alarms: Alarms,
        clock: Clock,
        local_ms: int,
        erased: Callable[[Collection[str]], Awaitable[frozenset[str]]],
    ) -> None:
        """``changing`` is held while a file is copied, and ``erased`` says whose files may not be, so that
        what is erased does not come back."""
        self._folder = folder
        self._bucket = bucket
        self._changing = changing
        self._alarms = alarms
        self._clock = clock
        self._local_ms = local_ms
        self._erased = erased
        self._copied: dict[str, _Seen] = {}

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            try:
                await self.look()
            except EvidenceStoreFailed as error:
                self._alarms.set_alarms(_PART, [Alarm(AlarmReason.STORE_AWAY, "", str(error))])
                await asyncio.sleep(_AGAIN_S)
            except LedgerUnavailable:  # it has its own alarm
                await asyncio.sleep(_AGAIN_S)
            else:
                self._alarms.set_alarms(_PART, [])
                await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Copies what is new, oldest first, and removes what need not stay. Raises EvidenceStoreFailed and
        LedgerUnavailable."""
        seen = await asyncio.to_thread(lambda: sorted(self._files(), key=lambda file: file.changed_ns))
        for file in seen:
            if self._copied.get(file.name) != file:
                if not await self._is_there(file) and not await self._copy(file.name):
                    continue
                self._copied[file.name] = file
            if self._clock.wall_ms() - file.changed_ns // 1_000_000 > self._local_ms:
                await asyncio.to_thread((self._folder / file.name).unlink, missing_ok=True)
        names = {file.name for file in seen}
        self._copied = {name: file for name, file in self._copied.items() if name in names}

    async def _copy(self, name: str) -> bool:
        """Copies a file. Returns False where it has gone, or has to go."""
        owner = incident_of(name)
        if await self._erased([owner]):
            return False  # The keeper removes it.
        async with self._changing:
            if not await asyncio.to_thread((self._folder / name).exists):
                return False
            if name.endswith(EvidenceFileKind.RECORD.value):
                await self._complete(name)
            await self._bucket.save(name, self._folder / name)
        if await self._erased([owner]):  # by another gate, meanwhile
            await self._bucket.remove(name)
            return False
        return True

    async def _complete(self, name: str) -> None:
        """Adds to a record what the bucket's has and it has not. It was written after the earlier one had
        left the folder."""
        size = await self._bucket.size(name)
        if size is None or size > MAX_RECORD_BYTES:
            return
        older, path = await self._bucket.read(name, 0, size), self._folder / name
        try:
            newer = await asyncio.to_thread(read_settings_file, path, MAX_RECORD_BYTES)
            if (whole := completed_record(newer, older)) != newer:
                await asyncio.to_thread(write_file, path, whole)
        except (ConfigError, OSError) as error:
            log.warning("a record loses what the bucket's had", file=name, error=str(error))

    async def _is_there(self, file: _Seen) -> bool:
        """Whether an earlier run has copied it. A clip changes its size when it changes; a record may not."""
        fixed = file.name.endswith(EvidenceFileKind.CLIP.value) and file.name not in self._copied
        return fixed and await self._bucket.size(file.name) == file.bytes

    def _files(self) -> Iterator[_Seen]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if incident_of(entry.name) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):  # erased at this moment
                        status = entry.stat(follow_symlinks=False)
                        yield _Seen(entry.name, status.st_size, status.st_mtime_ns)
