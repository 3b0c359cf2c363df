"""Puts what the gate writes to its folder of evidence into the bucket, and keeps the folder small.

The folder itself is the list of what is left to do, so nothing is forgotten over a restart or while the
bucket is away.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from edge.clock import Clock
from edge.errors import EvidenceStoreFailed
from edge.evidence import EvidenceFileKind, EvidenceStore
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms

_LOOK_S: Final = 1.0
_AGAIN_S: Final = 5.0
_PART: Final = "evidence_bucket"
_KINDS: Final = tuple(kind.value for kind in EvidenceFileKind)


class _Seen(NamedTuple):
    name: str
    bytes: int
    changed_ns: int


class EvidenceMirror:
    """Copies one gate's folder to the bucket. Files leave it ``local_ms`` after their last change."""

    def __init__(
        self, folder: Path, bucket: EvidenceStore, alarms: Alarms, clock: Clock, local_ms: int
    ) -> None:
        self._folder = folder
        self._bucket = bucket
        self._alarms = alarms
        self._clock = clock
        self._local_ms = local_ms
        self._copied: dict[str, _Seen] = {}

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            try:
                await self.look()
            except EvidenceStoreFailed as error:
                self._alarms.set_alarms(_PART, [Alarm(AlarmReason.STORE_AWAY, "", str(error))])
                await asyncio.sleep(_AGAIN_S)
            else:
                self._alarms.set_alarms(_PART, [])
                await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Copies what is new, oldest first, and removes what need not stay. Raises EvidenceStoreFailed."""
        seen = await asyncio.to_thread(lambda: sorted(self._files(), key=lambda file: file.changed_ns))
        for file in seen:
            if self._copied.get(file.name) != file:
                if not await self._is_there(file):
                    try:
                        await self._bucket.save(file.name, self._folder / file.name)
                    except FileNotFoundError:  # removed since, as what is erased
                        continue
                self._copied[file.name] = file
            if self._clock.wall_ms() - file.changed_ns // 1_000_000 > self._local_ms:
                await asyncio.to_thread((self._folder / file.name).unlink, missing_ok=True)
        names = {file.name for file in seen}
        self._copied = {name: file for name, file in self._copied.items() if name in names}

    async def _is_there(self, file: _Seen) -> bool:
        """Whether an earlier run has copied it. A clip changes its size when it changes; a record may not."""
        fixed = file.name.endswith(EvidenceFileKind.CLIP.value) and file.name not in self._copied
        return fixed and await self._bucket.size(file.name) == file.bytes

    def _files(self) -> Iterator[_Seen]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if (
                    entry.name.endswith(_KINDS)
                    and not entry.name.startswith(".")
                    and entry.is_file(follow_symlinks=False)
                ):
                    status = entry.stat(follow_symlinks=False)
                    yield _Seen(entry.name, status.st_size, status.st_mtime_ns)
