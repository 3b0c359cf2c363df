"""The journal: a local file for the gate's decisions while the ledger is away.

Each line is written and fsynced before ``append`` returns. A torn last line, after a power loss during a
write, is ignored: ``append`` had not returned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge import crash_points
from edge.crash_points import crash_point
from edge.errors import LedgerUnavailable
from edge.ledger.journal_entries import Entry, Violated, decode, encode

MAX_LINE_BYTES = 1024 * 1024


class Journal:
    """An append-only file. ``clear`` empties it once the ledger holds everything."""

    def __init__(self, path: Path) -> None:
        self._path = path

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
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
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
                sync_directory(self._path.parent)
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
            with self._path.open("rb") as file:
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
        """Removes the file. Call it only when the ledger holds everything up to ``position``.

        Keeps damaged and refused entries in a file beside it, for people. Returns False and does nothing if
        whole lines follow the position. Nothing may be appended meanwhile.
        """
        if any(True for _ in self.entries_after(position)):
            return False
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
            damaged = [line for line in lines if line.strip() and decode(line) is None]
            damaged += [encode(entry) for entry in refused]
            if damaged:
                with self._path.with_suffix(".damaged").open("ab") as file:
                    file.writelines(damaged)
            self._path.unlink()
            sync_directory(self._path.parent)
        except OSError as error:
            raise self._unavailable(error) from None
        return True

    def _unavailable(self, error: OSError) -> LedgerUnavailable:
        return LedgerUnavailable(f"journal {self._path}: {error.strerror or error}")


def _ends_within_a_line(descriptor: int) -> bool:
    """Whether the file ends in the middle of a line."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def sync_directory(path: Path) -> None:
    """Makes a created or removed file name durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
