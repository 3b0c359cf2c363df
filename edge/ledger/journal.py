"""The journal: violations on local disk while the ledger is away.

One line each, ``crc32 SPACE json LF``, flushed and fsynced before ``append`` returns. A torn last
line (power loss in the middle of a write) is ignored; it was never promised to anybody.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edge import crash
from edge.crash import crash_point
from edge.enforce.ladder import Sanction
from edge.errors import LedgerUnavailable
from edge.ledger import records
from edge.ledger.violations import Violation
from edge.policy import LadderPolicy, ReviewPolicy, Unreviewed

MAX_LINE_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A violation, and what it costs by the policy that it was counted under."""

    violation: Violation
    sanction: Sanction


def encode(entry: Entry) -> bytes:
    """One line."""
    violation = entry.violation
    body = json.dumps(
        {
            "incident": records.incident_to_json(violation.incident),
            "strike": {
                **dataclasses.asdict(violation.strike),
                "severity": violation.strike.severity.value,
            },
            "blocks": [records.block_to_row(block) for block in violation.blocks],
            "durable_ms": violation.durable_ms,
            "sanction": entry.sanction.model_dump(mode="json"),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> Entry | None:
    """The entry of a line; None when the line is torn or damaged."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    values: dict[str, Any] = json.loads(body)
    violation = Violation(
        incident=records.incident_from_json(values["incident"]),
        strike=records.strike_from_json(values["strike"]),
        blocks=tuple(records.block_from_json(block) for block in values["blocks"]),
        durable_ms=values["durable_ms"],
        durable_in="journal",
    )
    return Entry(violation, _sanction(values))


def _sanction(values: dict[str, Any]) -> Sanction:
    if "sanction" in values:
        return Sanction.model_validate(values["sanction"])
    # An earlier version knew the ladder alone, and every block was a full one.
    full = ReviewPolicy(detector=Unreviewed.STAND)
    return Sanction(ladder=LadderPolicy.model_validate(values["ladder"]), review=full)


class Journal:
    """An append-only file; ``clear`` empties it when the ledger holds everything."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, violation: Violation, sanction: Sanction) -> None:
        """On disk when it returns. Raises LedgerUnavailable when the disk does not take it."""
        line = encode(Entry(violation, sanction))
        crash_point("journal.begin")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if _torn(descriptor):
                    line = b"\n" + line
                if crash.armed_at == "journal.torn":
                    os.write(descriptor, line[: len(line) // 2])
                    crash_point("journal.torn")
                view = memoryview(line)
                while view:
                    view = view[os.write(descriptor, view) :]
                crash_point("journal.written")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                sync_directory(self._path.parent)
            crash_point("journal.synced")
        except OSError as error:
            raise LedgerUnavailable(f"journal {self._path}: {error.strerror or error}") from None

    def entries(self) -> Iterator[Entry]:
        """What was appended, in order; damaged lines are passed over."""
        try:
            with self._path.open("rb") as file:
                while line := file.readline(MAX_LINE_BYTES):
                    entry = decode(line)
                    if entry is not None:
                        yield entry
        except FileNotFoundError:
            return
        except OSError as error:
            raise LedgerUnavailable(f"journal {self._path}: {error.strerror or error}") from None

    def size(self) -> int:
        """Bytes; 0 when there is nothing to bring home."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise LedgerUnavailable(f"journal {self._path}: {error.strerror or error}") from None

    def clear(self, size: int, refused: Iterable[Entry] = ()) -> bool:
        """Only after all of it is in the ledger. What was damaged or refused is kept beside it for people.

        Does nothing, and says so, when something was appended since the journal had ``size`` bytes.
        """
        if self.size() != size:
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
            raise LedgerUnavailable(f"journal {self._path}: {error.strerror or error}") from None
        return True


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
