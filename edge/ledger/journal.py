"""The journal: a local file for the gate's decisions while the ledger is away.

Each line is written and fsynced before ``append`` returns. A torn last line, after a power loss during a
write, is ignored: ``append`` had not returned.

The file has disk space for more lines than it holds, taken while there was some: its reserve. A full disk
refuses no line until the reserve is used up.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from edge import crash_points
from edge.crash_points import crash_point
from edge.durable_files import append_durably, reserve, sync_folder
from edge.errors import LedgerUnavailable
from edge.ledger.journal_entries import Entry, Violated, decode, encode
from edge.settings_file import open_regular

MAX_LINE_BYTES = 1024 * 1024
_ROOM_BYTES = 2 << 20
"""What the reserve leaves to the ledger and other files where the disk is small."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reserve:
    """Disk space that the journal has for further lines."""

    wanted_bytes: int = 0
    left_bytes: int = 0
    problem: str = ""
    """Why it is smaller than wanted. Empty if it is whole."""


class Journal:
    """An append-only file. ``clear`` empties it once the ledger holds everything."""

    def __init__(self, path: Path, reserve_bytes: int = 0) -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes

    def append(self, entry: Entry) -> None:
        """Appends one entry; it is on disk on return. Raises LedgerUnavailable if the disk refuses it."""
        line = encode(entry)
        violated = isinstance(entry, Violated)
        # Only violations hit the crash points: tests wait for a violation, not for other entries.
        if violated:
            crash_point("journal.begin")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            descriptor = self._opened()
            try:
                if _ends_within_a_line(descriptor):
                    line = b"\n" + line
                if crash_points.armed_at == "journal.torn" and violated:
                    os.write(descriptor, line[: len(line) // 2])
                    crash_point("journal.torn")
                view = memoryview(line)
                while view:
                    view = view[os.write(descriptor, view) :]
                if violated:
                    crash_point("journal.written")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                sync_folder(self._path.parent)
            if violated:
                crash_point("journal.synced")
        except OSError as error:
            raise self._unavailable(error) from None

    def entries(self) -> Iterator[Entry]:
        """All entries in order, without damaged lines."""
        return (entry for entry, _ in self.entries_after(0) if entry is not None)

    def entries_after(self, position: int) -> Iterator[tuple[Entry | None, int]]:
        """Yields the entry of each line that begins at or after a byte position, and the position of its
        end.

        The entry of a damaged line is None. Stops before a last line that is torn or still being written.
        """
        try:
            with open_regular(self._path) as file:
                file.seek(position)
                while line := file.readline(MAX_LINE_BYTES):
                    if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                        return
                    position += len(line)
                    yield decode(line), position
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unavailable(error) from None

    def size(self) -> int:
        """Size in bytes; 0 when nothing waits to be moved."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._unavailable(error) from None

    def clear(self, position: int, refused: Iterable[Entry] = ()) -> bool:
        """Empties the file. Call it only when the ledger holds everything up to ``position``.

        Keeps damaged and refused entries in a file beside it, for people, which is on disk first. Returns
        False and does nothing if whole lines follow the position. Nothing may be appended meanwhile.
        """
        if any(True for _ in self.entries_after(position)):
            return False
        try:
            with open_regular(self._path) as file:
                lines = iter(lambda: file.readline(MAX_LINE_BYTES), b"")
                damaged = [line for line in lines if line.strip() and decode(line) is None]
            damaged += [encode(entry) for entry in refused]
            if damaged:
                log.error(
                    "the journal holds entries that this gate does not know; they are kept beside it",
                    entries=len(damaged),
                    file=str(self._path.with_suffix(".damaged")),
                )
                append_durably(self._path.with_suffix(".damaged"), b"".join(damaged))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.ftruncate(descriptor, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unavailable(error) from None
        self.keep_reserve(or_less=True)
        return True

    def keep_reserve(self, *, or_less: bool = False) -> Reserve:
        """Takes disk space until the reserve is whole. Never raises.

        ``or_less`` takes most of what is free where that is less, and leaves the ledger some of it. Otherwise
        a reserve that cannot be whole stays as it is, so that what is freed goes to others.
        """
        wanted = self._reserve_bytes
        if not wanted:
            return Reserve()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = self._opened()
            try:
                left = _left(descriptor)
                there = left + shutil.disk_usage(self._path.parent).free
                part = there - max(there // 8, min(there // 2, _ROOM_BYTES))
                problem = os.strerror(errno.ENOSPC)
                if wanted <= max(left, part):
                    problem = _reserved(descriptor, wanted)
                elif or_less:
                    _reserved(descriptor, part)
                left = _left(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return Reserve(wanted, 0, error.strerror or str(error))
        return Reserve(wanted, left, "" if left >= wanted else problem or "not reserved")

    def release_reserve(self) -> None:
        """Gives the reserve back. What the journal holds stays. Raises LedgerUnavailable."""
        try:
            descriptor = self._opened()
            try:
                os.ftruncate(descriptor, os.fstat(descriptor).st_size)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unavailable(error) from None

    def _opened(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _unavailable(self, error: OSError) -> LedgerUnavailable:
        return LedgerUnavailable(f"journal {self._path}: {error.strerror or error}")


def _ends_within_a_line(descriptor: int) -> bool:
    """Whether the file ends in the middle of a line."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _left(descriptor: int) -> int:
    """Bytes that the file has space for behind its end."""
    status = os.fstat(descriptor)
    return max(0, status.st_blocks * 512 - status.st_size)


def _reserved(descriptor: int, wanted: int) -> str:
    """Takes space for ``wanted`` bytes behind the end of the file. Returns what stands in the way."""
    if _left(descriptor) >= wanted:
        return ""
    try:
        reserve(descriptor, os.fstat(descriptor).st_size + wanted)
    except OSError as error:
        return error.strerror or str(error)
    return "" if _left(descriptor) >= wanted else "the file system reserves no space"
