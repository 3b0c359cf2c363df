"""The life of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from edge.domain import Publish
from edge.reasons import ServerNotice, StampFault
from edge.telemetry.records.base import Record


@dataclass(frozen=True, slots=True)
class StreamsRestored(Record):
    """Streams admitted in an earlier run were restored."""

    live: int


@dataclass(frozen=True, slots=True)
class SourceOpened(Record):
    """A worker has begun to decode the stream."""

    stream_id: str
    codec: str


@dataclass(frozen=True, slots=True)
class StreamClosed(Record):
    """A worker has closed a stream. It may be opened again."""

    stream_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class WatchingFailed(Record):
    """A live stream is no longer watched, though nobody asked for that."""

    stream_id: str
    publish: Publish
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class StreamMoved(Record):
    """A stream went to the worker for heavy streams, or back, for what it costs."""

    stream_id: str
    heavy: bool
    share: float
    """Share of a core that it has cost lately."""


@dataclass(frozen=True, slots=True)
class TimestampsWrong(Record):
    """A stream's timestamps do not count, and the gate's own clock does. At most once a minute."""

    stream_id: str
    publish: Publish
    how: StampFault


@dataclass(frozen=True, slots=True)
class StreamOver(Record):
    """A stream has ended, and the gate drops its state."""

    stream_id: str
    publish: Publish
    reason: str
    live: int
    """Number of live streams."""


@dataclass(frozen=True, slots=True)
class PullWaits(Record):
    """A stream that the gate pulls waits for a worker."""

    stream_id: str
    publish: Publish
    error: str


@dataclass(frozen=True, slots=True)
class PullsFail(Record):
    """An alarm: the pulls of a live stream fail one after the other."""

    stream_id: str
    publish: Publish
    pulls: int


@dataclass(frozen=True, slots=True)
class StreamsUnwatched(Record):
    """Streams of an earlier run have no place in this one."""

    streams: int
    error: str


@dataclass(frozen=True, slots=True)
class EndUnknown(Record):
    """An ingest server told the end of a publish that the gate does not know."""

    server: str


@dataclass(frozen=True, slots=True)
class ServerNoticed(Record):
    """Something about a publish that an ingest server said, did or left undone."""

    server: str
    app: str
    stream_id: str
    """Empty where the publish was not let in."""
    what: ServerNotice
    detail: str = ""
