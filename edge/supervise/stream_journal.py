"""Keeps on local disk which streams are live on servers that the gate pulls from.

An ingest server asks once, when a publish begins. A gate that was killed, or restarted with a new version,
must go on watching the streams that it admitted. It finds them here. Lines are not synced: they survive the
process, and a machine that goes down takes the publishers' connections with it.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from edge.domain import Publish, StreamId
from edge.durable_files import reserve
from edge.settings_file import open_regular

MAX_LINE_BYTES = 256 * 1024
_COMPACT_LINES = 4096
_RESERVE_BYTES = 1024 * 1024
"""Disk space that the file takes for further lines, for a disk that is full later."""

log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class JournalledStream:
    """A stream that was admitted and whose end nobody has reported."""

    id: StreamId
    publish: Publish
    started_ms: int


_ID: Final = TypeAdapter(str)
_STREAM: Final = TypeAdapter(JournalledStream)


class StreamJournal:
    """One file with one line a change. If the disk fails, the stream is not restored later, but it goes
    on."""

    def __init__(self, path: Path, servers: Collection[str]) -> None:
        """``servers`` are the kinds of servers whose streams are kept, as in ``Publish.server``."""
        self._path = path
        self._servers = servers
        self._live: dict[StreamId, bytes] = {}
        """Their lines, so that the file can be written anew without a pause for all other streams."""
        self._file: io.FileIO | None = None
        self._partial_line = False
        self._lines = 0
        self.problem = ""
        """Why the last change is not on disk. Empty if it is."""
        self._unknown: deque[bytes] = deque(maxlen=_COMPACT_LINES)
        """Lines that a newer gate wrote, or that were edited by hand. The newest are kept."""

    def load(self) -> tuple[JournalledStream, ...]:
        """Returns the streams that an earlier gate left, oldest first."""
        left: dict[StreamId, JournalledStream] = {}
        try:
            with open_regular(self._path) as file:
                while line := file.readline(MAX_LINE_BYTES):
                    self._take(line, left)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("streams of an earlier run are not known", error=str(error))
        if self._unknown:
            log.error(
                "streams of an earlier run that this gate does not know are kept and skipped",
                lines=len(self._unknown),
                file=str(self._path),
            )
        self._live = {stream.id: _line(_encoded(stream)) for stream in left.values()}
        self._rewrite()
        return tuple(left.values())

    def admitted(self, stream: JournalledStream) -> None:
        if stream.publish.server in self._servers:
            self._live[stream.id] = line = _line(_encoded(stream))
            self._append(line)

    def over(self, stream_id: StreamId) -> None:
        if self._live.pop(stream_id, None) is not None:
            self._append(_line({"over": stream_id}))

    def close(self) -> None:
        """Closes the file. The streams stay on disk for the next gate."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take(self, line: bytes, left: dict[StreamId, JournalledStream]) -> None:
        try:
            values: Mapping[str, Any] = json.loads(line)
        except (ValueError, RecursionError):
            return  # Torn by a crash.
        try:
            if "over" in values:
                left.pop(StreamId(_ID.validate_python(values["over"])), None)
                return
            stream = _STREAM.validate_python(values)
        except (ValueError, TypeError):
            self._unknown.append(line.rstrip(b"\n") + b"\n")
            return
        if stream.publish.server in self._servers:
            left[stream.id] = stream

    def _append(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > _COMPACT_LINES + 2 * len(self._live) and self._rewrite():
            return
        if self._file is None:
            return
        line = b"\n" * self._partial_line + line
        try:
            written = self._file.write(line) or 0
            if written == len(line):
                self._partial_line, self.problem = False, ""
                return
            why = f"{written} of {len(line)} bytes were written"
        except OSError as error:
            why = str(error)
        self._partial_line, self.problem = True, why
        log.warning("a stream will not outlive the gate", error=why)

    def _rewrite(self) -> bool:
        """Replaces the file by a new one with live streams only. If that fails, the old file stays in use."""
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(b"".join((*self._unknown, *self._live.values())))
            fresh.chmod(0o600)
            file = io.FileIO(fresh, "ab")  # Unbuffered: a failing write must fail here.
            with suppress(OSError):  # Not every file system can. Later lines then need free space.
                reserve(file.fileno(), file.tell() + _RESERVE_BYTES)
            fresh.replace(self._path)
            self.close()
            self._file, self._partial_line, self.problem = file, False, ""
        except OSError as error:
            self.problem = str(error)
            log.warning("streams will not outlive the gate", error=str(error))
            self._reopen()
        self._lines = len(self._live)
        return not self.problem

    def _reopen(self) -> None:
        """Goes on with the file of an earlier gate, where no new one can be made."""
        if self._file is None:
            with suppress(OSError):
                self._file, self._partial_line = io.FileIO(self._path, "ab"), True


def _encoded(stream: JournalledStream) -> dict[str, Any]:
    publish = {**dataclasses.asdict(stream.publish), "attributes": dict(stream.publish.attributes)}
    return {"id": stream.id, "publish": publish, "started_ms": stream.started_ms}


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
