"""The live streams, keyed by their own id and never by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from edge.clock import Clock, EventTimes
from edge.config import LimitsSection
from edge.contract.gate import ALL_NEEDED_MS
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import Action, Block, Publish, StreamId, Tier, Verdict
from edge.errors import GateError, NoPlace, NotFound
from edge.ledger.subjects import names_account
from edge.places import Places, network_of
from edge.pullers.pull import Pull
from edge.reopenings import Reopenings
from edge.stream import new_seed
from edge.supervise.authority import NOBODY, Caller
from edge.supervise.push_buffer import PushBuffer
from edge.supervise.response_queue import ResponseQueue
from edge.supervise.score_track import ScoreTrack
from edge.supervise.stream_journal import JournalledStream, StreamJournal
from edge.supervise.stream_life import StreamLife
from edge.supervise.subject_index import SubjectIndex
from edge.supervise.usage_counter import UsageCounter

MAX_STREAMS: Final = "limits.max_streams"
PER_CLIENT: Final = "limits.max_streams_per_client"
PER_BROADCASTER: Final = "limits.max_streams_per_broadcaster"
IDLE_MS: Final = 250.0
"""An admitted stream has this long to be watched before another may have its place."""
SILENT_MS: Final = 5_000.0
"""A call that watches a stream has this long to bring its first picture before another may have its place."""


@dataclass(frozen=True, slots=True)
class WaitingCut:
    """The cut of a stream that nobody has watched: only its caller knows whether it has a publisher."""

    verdict: Verdict
    block: Block | None


@dataclass(slots=True)
class LiveStream:
    """One publish connection and the gate's state of it."""

    id: StreamId
    publish: Publish
    started_ms: int
    idle_since_ms: float
    """Monotonic time since which nobody has watched it."""
    seed: bytes = field(default_factory=new_seed, repr=False)
    """The stream's secret. Nobody may foresee what the gate looks at, so no answer shows it."""
    life: StreamLife = field(default_factory=StreamLife)
    admitted_by: Caller = NOBODY
    """The peer that asked for admission."""
    client: str = ""
    """The peer that watches it."""
    pushed: bool = False
    """A caller brings its media by itself: no server of a hook goes on with it when it is forgotten."""
    codec: str = ""
    extradata: bytes = b""
    url: str | None = field(default=None, repr=False)
    """Set in pull mode."""
    pull: Pull | None = None
    """The running pull."""
    source_opened: bool = False
    """Its codec is known, so that a worker can open it."""
    pull_error: GateError | None = None
    """Why the last pull has ended while the worker still judges the rest."""
    moves: int = 0
    """How often it has changed the kind of its worker, for what it costs."""
    pulls: int = 0
    """Pulls in a row that ended without a verdict."""
    reopenings: Reopenings = field(default_factory=Reopenings)
    """Those that the publisher's own media has made necessary."""
    opening: int = 0
    """How often a worker opened it. Events of an earlier opening are stale."""
    has_audio: bool = False
    """Audio of it has come."""
    audio_off: bool = False
    """An audio message exceeded its bounds, so no more audio is passed on."""
    responses: ResponseQueue | None = None
    tier: Tier = Tier.CALM
    score: float = 0.0
    action: Action = Action.PASS
    decided: EventTimes | None = None
    """The times of its cut, from the decision on."""
    samples: int = 0
    judged: bool = False
    """The worker that has it open has judged some of it."""
    verdict_came: asyncio.Event | None = None
    """Set at the next verdict, if a task waits for it."""
    watched_since_ms: float | None = None
    """Monotonic time of its first verdict."""
    struck: bool = False
    """Whether its broadcaster is known to have strikes that count."""
    shed: int = 0
    cleared_pts_ms: int = -1
    """The watermark, in the caller's own stamps."""
    wanted: gate_pb2.TierChange | None = None
    """The media that its worker wants. None until it watches."""
    distrusted: bool = False
    """Its stamps lie, so its caller can leave nothing out by them."""
    stamps_shift_ms: int = 0
    """The caller's stamps less the gate's media time, at the newest verdict."""
    cleared_units: int = 0
    """Access units of the call, from the first one on, that are cleared."""
    incident_id: str | None = None
    cut_answer: gate_pb2.WatchResponse | None = None
    """The CUT, for whoever opens its watching only now."""
    was_watched: bool = False
    """A call or a hook has it watched, or had."""
    waiting_cut: WaitingCut | None = None
    """Its cut, which begins with the first call that watches it."""
    verdict_monotonic_ms: float | None = None
    """When the CUT verdict was reached."""
    fed_ms: float = 0.0
    """Monotonic time of the last media, or of the caller's ``open``."""
    media: PushBuffer | None = None
    """The media kept outside the worker. None before the first source has opened."""
    scores: ScoreTrack = field(default_factory=ScoreTrack, repr=False)
    evidence_lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """Held while media of one clip is sent to the worker."""

    @property
    def cutting(self) -> bool:
        """A CUT is on its way or done, and nothing more is decided."""
        return self.life.cutting

    @property
    def is_unused(self) -> bool:
        """Whether no call and no worker has it, so that it may be given up without a word."""
        return self.responses is None and (self.life.waits or self.waiting_cut is not None)

    @property
    def is_silent(self) -> bool:
        """Whether a call watches it that has brought no picture yet."""
        watched = self.pushed and self.url is None and self.responses is not None and not self.cutting
        return watched and self.media is not None and not self.media.has_video

    def answer(self) -> gate_pb2.WatchResponse:
        """Returns an answer to the caller that says only how far its media is cleared."""
        cleared_units = None if self.url is not None else self.cleared_units
        return gate_pb2.WatchResponse(cleared_pts_ms=self.cleared_pts_ms, cleared_units=cleared_units)

    def tier_answer(self) -> gate_pb2.WatchResponse:
        """Returns an answer that says which media is wanted, the first time as ``opened``."""
        assert self.wanted is not None
        answer = self.answer()
        first = self.responses is not None and not self.responses.told_opened
        change = answer.opened.tier if first else answer.tier
        change.CopyFrom(self.wanted)
        if self.distrusted and change.tier == gate_pb2.TIER_KIND_CALM:
            change.needed_after_keyframe_ms = ALL_NEEDED_MS
        return answer

    def verdict_answer(self, verdict: gate_pb2.Verdict) -> gate_pb2.WatchResponse:
        """Returns an answer with a verdict, whose times become the caller's own."""
        answer = self.answer()
        answer.verdict.CopyFrom(verdict)
        if self.stamps_shift_ms and verdict.pts_ms >= 0:
            answer.verdict.pts_ms += self.stamps_shift_ms
            if answer.verdict.HasField("begin_pts_ms"):
                answer.verdict.begin_pts_ms += self.stamps_shift_ms
            for signal in answer.verdict.signals:
                signal.pts_ms += self.stamps_shift_ms
                if signal.HasField("begin_pts_ms"):
                    signal.begin_pts_ms += self.stamps_shift_ms
        return answer

    def note_judged(self, judged: worker_pb2.Judged) -> None:
        """Takes a worker's verdict and moves the watermark."""
        if self.media is None:
            self.cleared_pts_ms = max(self.cleared_pts_ms, judged.cleared_pts_ms)
            return
        watermark, pts_ms = self.media.watermark, judged.verdict.pts_ms
        self.stamps_shift_ms = watermark.caller_pts_ms(pts_ms) - pts_ms
        watermark.clear(judged.cleared_pts_ms, judged.arrival_ms)
        self.cleared_pts_ms, self.cleared_units = watermark.pts_ms, watermark.units


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
        """Whether a stream may lose its place: nobody watches it, or its call brings no picture. Its caller
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
