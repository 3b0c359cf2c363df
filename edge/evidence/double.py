"""A double of a bucket, for what no real one does on demand: it fails, and it counts what it is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.errors import EvidenceStoreFailed, NotFound


class BucketDouble:
    """Keeps files in memory. While ``away`` it answers nothing."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.away = False
        self.saved: list[str] = []

    @property
    def shared(self) -> bool:
        return True

    async def save(self, name: str, source: Path) -> None:
        self._asked()
        self.files[name] = await asyncio.to_thread(source.read_bytes)
        self.saved.append(name)

    async def size(self, name: str) -> int | None:
        self._asked()
        return len(self.files[name]) if name in self.files else None

    async def read(self, name: str, begin: int, length: int) -> bytes:
        self._asked()
        if name not in self.files:
            raise NotFound("file of evidence", name)
        return self.files[name][begin : begin + length]

    async def remove(self, name: str) -> bool:
        self._asked()
        return self.files.pop(name, None) is not None

    def _asked(self) -> None:
        if self.away:
            raise EvidenceStoreFailed("evidence.url: s3://double: no answer")
