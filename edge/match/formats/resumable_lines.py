"""The lines of a file, from a place in it on: bounded, counted, and every place can be come back to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from edge.errors import LimitExceeded

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A line of ``vpdq-json`` or ``jsonl`` holds a whole video."""
_PROGRESS_LINES = 4096


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a file: everything before it has been read."""

    offset_bytes: int = 0
    line: int = 0
    """Lines before it; records where the file is one document."""


START = Cursor()


class Lines:
    """Iterates over the lines that say something, without their ends. Raises UnicodeDecodeError."""

    def __init__(self, file: BinaryIO, start: Cursor, progress: Callable[[int], None] | None = None) -> None:
        self.at = start
        """After the line that was given last."""
        self.mark: Cursor | None = None
        """Where a reader wants to be continued instead, when that is not here."""
        self._file = file
        self._progress = progress
        if start != START:
            self.go_to(start)

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        while raw := self._file.readline(MAX_LINE_BYTES + 1):
            self.at = Cursor(self.at.offset_bytes + len(raw), self.at.line + 1)
            if len(raw) > MAX_LINE_BYTES:
                raise LimitExceeded("line", MAX_LINE_BYTES, len(raw), "bytes")
            if self._progress is not None and self.at.line % _PROGRESS_LINES == 0:
                self._progress(self.at.offset_bytes)
            # Spreadsheets write a byte order mark.
            line = raw.decode("utf-8-sig" if self.at.line == 1 else "utf-8").strip()
            if line:
                return line
        raise StopIteration

    def whole(self, limit_bytes: int) -> str:
        """All of the file as one text; LimitExceeded when it is larger."""
        if self.at != START:
            self._file.seek(0)
        raw = self._file.read(limit_bytes + 1)
        if len(raw) > limit_bytes:
            raise LimitExceeded("page", limit_bytes, len(raw), "bytes")
        self.at = Cursor(len(raw), self.at.line)
        return raw.decode("utf-8-sig")

    def rewind(self) -> None:
        """Back to the start of the file, if that is not where this is."""
        if self.at != START:
            self.go_to(START)

    def go_to(self, place: Cursor) -> None:
        self._file.seek(place.offset_bytes)
        self.at = place
