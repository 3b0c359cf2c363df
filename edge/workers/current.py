"""Which stream a worker is working on, in memory shared with the supervisor.

A worker that dies inside a decoder cannot say which stream killed it; this page still can.
"""

from __future__ import annotations

import mmap
import os
import tempfile

PAGE_BYTES = 4096
_LIMIT = 255


class CurrentStream:
    """One page: a length byte, then the id of the stream in work; length 0 when idle."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, PAGE_BYTES)

    @staticmethod
    def create() -> int:
        """A new page's file descriptor, to be inherited by the worker."""
        with tempfile.TemporaryFile() as file:
            file.truncate(PAGE_BYTES)
            return os.dup(file.fileno())

    def enter(self, stream_id: str) -> None:
        raw = stream_id.encode()[:_LIMIT]
        self._page[1 : 1 + len(raw)] = raw
        self._page[0] = len(raw)

    def leave(self) -> None:
        self._page[0] = 0

    def read(self) -> str | None:
        """The stream in work, or None when the worker was idle."""
        length = self._page[0]
        return bytes(self._page[1 : 1 + length]).decode(errors="replace") if length else None

    def close(self) -> None:
        self._page.close()
