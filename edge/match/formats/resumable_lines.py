"""Reads the lines of a file from any place on. Lines are bounded and counted, and reading can resume.

Text is UTF-8, or UTF-16 with its byte order mark, as some spreadsheets write it. Lines end with a line feed,
or with carriage returns alone where the file has no line feed near its start.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from edge.errors import LimitExceeded

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Longest line. A line of ``vpdq-json`` or ``jsonl`` holds a whole video."""
_PROGRESS_LINES = 4096
_HEAD_BYTES = 64 * 1024
"""How far line feeds are looked for. Even, so that no character of UTF-16 is cut."""
_END_OF_TEXT = "\x1a"
"""Ctrl-Z, with which some programs end a text."""


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
        self._ends_by_return = _ends_by_return(file, self._encoding)
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
            if line := raw.decode(self._encoding).removeprefix("\ufeff").strip().rstrip(_END_OF_TEXT):
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
        if self._ends_by_return:
            return self._read_to("\r".encode(self._encoding))
        if self._encoding == "utf-8":
            return self._file.readline(MAX_LINE_BYTES + 1)
        raw, end = b"", "\n".encode(self._encoding)
        while len(raw) <= MAX_LINE_BYTES and (part := self._file.readline(MAX_LINE_BYTES + 1)):
            raw += part + self._file.read((len(raw) + len(part)) % 2)
            if raw.endswith(end):
                break
        return raw

    def _read_to(self, end: bytes) -> bytes:
        raw = b""
        while len(raw) <= MAX_LINE_BYTES and (part := self._file.read(_HEAD_BYTES)):
            at = part.find(end)
            while at % len(end) and at >= 0:  # half of one character and half of the next
                at = part.find(end, at + 1)
            if at >= 0:
                self._file.seek(at + len(end) - len(part), os.SEEK_CUR)
                return raw + part[: at + len(end)]
            raw += part
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


def _ends_by_return(file: BinaryIO, encoding: str) -> bool:
    head = file.read(_HEAD_BYTES).decode(encoding, errors="replace")
    file.seek(0)
    return "\r" in head and "\n" not in head
