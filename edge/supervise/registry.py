"""The live streams, keyed by their own id and never by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge.clock import Clock
from edge.config import LimitsSection
from edge.domain import Block, StreamId
from edge.errors import NoPlace, NotFound
from edge.ledger.subjects import names_account
from edge.places import Places, network_of
from edge.supervise.live_stream import LiveStream
from edge.supervise.stream_journal import JournalledStream, StreamJournal
from edge.supervise.subject_index import SubjectIndex
from edge.supervise.usage_counter import UsageCounter

MAX_STREAMS: Final = "limits.max_streams"
PER_CLIENT: Final = "limits.max_streams_per_client"
PER_BROADCASTER: Final = "limits.max_streams_per_broadcaster"
IDLE_MS: Final = 250.0
"""An admitted stream has this long to be watched before another may have its place."""
SILENT_MS: Final = 5_000.0
"""A call that watches a stream has this long to bring its first frame before another may have its place."""


class Registry:
    """A bounded set of live streams with the lookups that admission and enforcement need."""

    def __init__(
        self, limits: LimitsSection, journal: StreamJournal, usage: UsageCounter, clock: Clock
    ) -> None:
        self._journal = journal
        self._usage = usage
        self._clock = clock
        self._streams: dict[StreamId, LiveStream] = {}
        self._by_connection: dict[tuple[str, str, str], StreamId] = {}
        self._subjects = SubjectIndex()
        self.case_mapped = False
        """As in ``AdmissionView``."""
        # From the narrowest to the widest: whoever has too much loses its own first.
        self._places: Places[StreamId] = Places(_most(limits), self._is_expendable)
        self._ending: Places[StreamId] = Places({MAX_STREAMS: limits.max_streams}, self._is_unreachable)
        """Streams that are being cut. They take places among themselves."""

    def set_limits(self, limits: LimitsSection) -> None:
        """For streams that are admitted from now on."""
        self._places.set_limits(_most(limits))
        self._ending.set_limits({MAX_STREAMS: limits.max_streams})

    def add_stream(self, stream: LiveStream) -> list[LiveStream]:
        """Returns the idle streams that lose their places to it, for the caller to end.

        Raises NoPlace with the limit that is reached.
        """
        publish = stream.publish
        losers = self._places.take(
            stream.id,
            {
                # Under a name that nothing has proven nobody takes the places of whoever has it.
                PER_BROADCASTER: (publish.broadcaster, publish.identity_proven),
                "limits.max_streams_per_address": network_of(publish.address),
                "limits.max_streams_per_app": publish.app,
                PER_CLIENT: stream.admitted_by.client or None,
                MAX_STREAMS: "",
            },
        )
        self._places.idle(stream.id)
        self._streams[stream.id] = stream
        if stream.publish.connection:
            self._by_connection[_connection_key(stream)] = stream.id
        self._subjects.add_stream(stream.id, stream.publish)
        self._usage.started(stream.id, stream.publish.app, stream.started_ms)
        self._journal.admitted(JournalledStream(stream.id, stream.publish, stream.started_ms))
        return [self._streams[loser] for loser in losers]

    def idle(self, stream: LiveStream) -> None:
        """Nobody watches it any more: it is the last in the row of those that may lose their places."""
        self._places.busy(stream.id)
        self._places.idle(stream.id)

    def ending(self, stream: LiveStream) -> list[LiveStream]:
        """Its cut has begun: of its places it keeps only that of its broadcaster until it is gone.

        Returns the streams whose cuts can be waited for no longer, as too many wait and their callers are
        gone. Where all waiting ones can still be reached, it keeps all of its places.
        """
        try:
            losers = self._ending.take(stream.id, {MAX_STREAMS: ""})
        except NoPlace:
            return []
        self._ending.idle(stream.id)
        self._places.give_back(stream.id, keep=PER_BROADCASTER)
        return [self._streams[loser] for loser in losers]

    def _is_unreachable(self, stream_id: StreamId) -> bool:
        """Whether the caller of a stream that is being cut is gone, so that nobody can be asked."""
        stream = self._streams[stream_id]
        return stream.pushed and stream.responses is None

    def _is_expendable(self, stream_id: StreamId) -> bool:
        """Whether a stream may lose its place: nobody watches it, or its call brings no frame. Its caller
        learns of that when it opens Watch, and then."""
        stream, now = self._streams[stream_id], self._clock.monotonic_ms()
        if stream.is_silent:
            return now - stream.fed_ms >= SILENT_MS
        return stream.pushed and stream.is_unused and now - stream.idle_since_ms >= IDLE_MS

    def remove(self, stream: LiveStream) -> None:
        if self._streams.pop(stream.id, None) is not None:
            self._places.give_back(stream.id)
            self._ending.give_back(stream.id)
            self._subjects.remove(stream.id, stream.publish)
        self._usage.ended(stream.id)
        self.release_connection(stream)

    def release_connection(self, stream: LiveStream) -> None:
        """Frees the connection reference of a stream. It may name another connection from now on."""
        key = _connection_key(stream)
        if self._by_connection.get(key) == stream.id:
            del self._by_connection[key]
        self._journal.over(stream.id)

    def get(self, stream_id: str) -> LiveStream:
        """Returns a live stream. Raises NotFound."""
        stream = self._streams.get(StreamId(stream_id))
        if stream is None:
            raise NotFound("stream", stream_id)
        return stream

    def find(self, stream_id: str) -> LiveStream | None:
        return self._streams.get(StreamId(stream_id))

    def by_connection(self, server: str, connection: str, client: str = "") -> LiveStream | None:
        """The stream of a server's connection. No client can name the connections of others; hooks are the
        client ``""``."""
        stream_id = self._by_connection.get((client, server, connection))
        return None if stream_id is None else self._streams.get(stream_id)

    def named_by(self, block: Block) -> list[LiveStream]:
        """Streams that a block names, except those of other apps."""
        named = (self._streams[stream_id] for stream_id in self._subjects.named_by(block))
        return [
            stream
            for stream in named
            if block.app in ("", stream.publish.app)
            and names_account(block, stream.publish.broadcaster, case_mapped=self.case_mapped)
        ]

    def admitted_for(self, client: str) -> int:
        """Number of live streams that a peer had admitted."""
        return self._places.held(PER_CLIENT, client)

    def page(self, limit: int, after_id: str) -> list[LiveStream]:
        """The next streams in order of their ids, which is the order of admission. ``after_id`` may be the
        beginning of an id."""
        shown = len(after_id) or None
        # Nearly in order already, so that sorting takes linear time.
        after = sorted(stream_id for stream_id in self._streams if stream_id[:shown] > after_id)
        return [self._streams[stream_id] for stream_id in after[:limit]]

    def watched_by(self, client: str) -> int:
        """Number of streams that a peer watches now."""
        return sum(1 for s in self._streams.values() if s.client == client and s.responses is not None)

    def __iter__(self) -> Iterator[LiveStream]:
        return iter(list(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)


def _most(limits: LimitsSection) -> dict[str, int]:
    return {
        PER_BROADCASTER: limits.max_streams_per_broadcaster,
        "limits.max_streams_per_address": limits.max_streams_per_address,
        "limits.max_streams_per_app": limits.max_streams_per_app or limits.max_streams,
        PER_CLIENT: limits.max_streams_per_client,
        MAX_STREAMS: limits.max_streams,
    }


def _connection_key(stream: LiveStream) -> tuple[str, str, str]:
    return stream.admitted_by.client, stream.publish.server, stream.publish.connection
