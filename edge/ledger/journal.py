"""The journal: violations on local disk while the ledger is away.

One line each, ``crc32 SPACE json LF``, flushed and fsynced before ``append`` returns. A torn last
line (power loss in the middle of a write) is ignored; it was never promised to anybody.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.errors import LedgerUnavailable
from edge.ledger import records
from edge.ledger.ledger import Violation

MAX_LINE_BYTES = 1024 * 1024


def encode(violation: Violation) -> bytes:
    """One line."""
    body = json.dumps(
        {
            "incident": records.incident_to_json(violation.incident),
            "strike": dataclasses.asdict(violation.strike),
            "blocks": [records.block_to_row(block) for block in violation.blocks],
            "durable_ms": violation.durable_ms,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> Violation | None:
    """The violation of a line; None when the line is torn or damaged."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    values: dict[str, Any] = json.loads(body)
    return Violation(
        incident=records.incident_from_json(values["incident"]),
        strike=records.strike_from_json(values["strike"]),
        blocks=tuple(records.block_from_json(block) for block in values["blocks"]),
        durable_ms=values["durable_ms"],
        durable_in="journal",
    )


class Journal:
    """An append-only file; ``clear`` empties it when the ledger holds everything."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, violation: Violation) -> None:
        """On disk when it returns. Raises LedgerUnavailable when the disk does not take it."""
        line = encode(violation)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if _torn(descriptor):
                    line = b"\n" + line
                view = memoryview(line)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                sync_directory(self._path.parent)
        except OSError as error:
            raise LedgerUnavailable(f"journal {self._path}: {error.strerror or error}") from None

    def violations(self) -> Iterator[Violation]:
        """What was appended, in order; damaged lines are passed over."""
        try:
            with self._path.open("rb") as file:
                while line := file.readline(MAX_LINE_BYTES):
                    violation = decode(line)
                    if violation is not None:
                        yield violation
        except FileNotFoundError:
            return
        except OSError as error:
            raise LedgerUnavailable(f"journal {self._path}: {error.strerror or error}") from None

    def empty(self) -> bool:
        try:
            return self._path.stat().st_size == 0
        except FileNotFoundError:
            return True

    def clear(self) -> None:
        """Only after all of it is in the ledger. What was damaged is kept beside it for people."""
        if self.empty():
            return
        damaged = [line for line in self._path.read_bytes().splitlines(keepends=True) if decode(line) is None]
        damaged = [line for line in damaged if line.strip()]
        if damaged:
            with self._path.with_suffix(".damaged").open("ab") as file:
                file.writelines(damaged)
        self._path.unlink()
        sync_directory(self._path.parent)


def _torn(descriptor: int) -> bool:
    """Whether the file ends in the middle of a line."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def sync_directory(path: Path) -> None:
    """Make a new or removed name durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
