"""Reads the lines of a file from any place on. Lines are bounded and counted, and reading can resume.

Text is UTF-8, or UTF-16 with its byte order mark, as some spreadsheets write it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from edge.errors import LimitExceeded

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Longest line. A line of ``vpdq-json`` or ``jsonl`` holds a whole video."""
_PROGRESS_LINES = 4096


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a file. Everything before it has been read."""

    offset_bytes: int = 0
    line: int = 0
    """Number of lines before it, or of records where the file is one document."""


START = Cursor()


class Lines:
    """Iterates over the lines that are not blank, without surrounding space. Raises UnicodeDecodeError."""

    def __init__(self, file: BinaryIO, start: Cursor, progress: Callable[[int], None] | None = None) -> None:
        self.at = start
        """The place after the last line that was returned."""
        self.resume_at: Cursor | None = None
        """The place from which the reader wants to resume, if it is not ``at``."""
        self._file = file
        self._progress = progress
        self._encoding = _encoding_of(file)
        if start != START:
            self.go_to(start)

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        while raw := self._read_line():
            self.at = Cursor(self.at.offset_bytes + len(raw), self.at.line + 1)
            if len(raw) > MAX_LINE_BYTES:
                raise LimitExceeded("line", MAX_LINE_BYTES, len(raw), "bytes")
            if self._progress is not None and self.at.line % _PROGRESS_LINES == 0:
                self._progress(self.at.offset_bytes)
            if line := raw.decode(self._encoding).removeprefix("\ufeff").strip():
                return line
        raise StopIteration

    def whole(self, limit_bytes: int) -> str:
        """Returns the whole file as one text. Raises LimitExceeded when it is larger."""
        if self.at != START:
            self._file.seek(0)
        raw = self._file.read(limit_bytes + 1)
        if len(raw) > limit_bytes:
            raise LimitExceeded("page", limit_bytes, len(raw), "bytes")
        self.at = Cursor(len(raw), self.at.line)
        return raw.decode(self._encoding).removeprefix("\ufeff")

    def _read_line(self) -> bytes:
        """The next line with its end, or the first bytes of one that is too long."""
        if self._encoding == "utf-8":
            return self._file.readline(MAX_LINE_BYTES + 1)
        raw, end = b"", "\n".encode(self._encoding)
        while len(raw) <= MAX_LINE_BYTES and (part := self._file.readline(MAX_LINE_BYTES + 1)):
            raw += part + self._file.read((len(raw) + len(part)) % 2)
            if raw.endswith(end):
                break
        return raw

    def rewind(self) -> None:
        """Goes back to the start of the file."""
        if self.at != START:
            self.go_to(START)

    def go_to(self, place: Cursor) -> None:
        self._file.seek(place.offset_bytes)
        self.at = place


def _encoding_of(file: BinaryIO) -> str:
    mark = file.read(2)
    file.seek(0)
    return {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(mark, "utf-8")
