"""One live stream: its publish connection and what the gate knows of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from edge.clock import EventTimes
from edge.contract.gate import ALL_NEEDED_MS
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import Action, Block, Publish, StreamId, Tier, Verdict
from edge.errors import GateError
from edge.pullers.pull import Pull
from edge.reopenings import Reopenings
from edge.stream import new_seed
from edge.supervise.authority import NOBODY, Caller
from edge.supervise.push_buffer import PushBuffer
from edge.supervise.response_queue import ResponseQueue
from edge.supervise.score_track import ScoreTrack
from edge.supervise.stream_life import StreamLife


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
    counted_matches: set[tuple[str, str, str]] = field(default_factory=set)
    """Footage that is only counted and that it has shown: bank, entry and source."""
    samples: int = 0
    judged: bool = False
    """The worker that has it open has judged some of it."""
    verdict_came: asyncio.Event | None = None
    """Set at the next verdict, if a task waits for it."""
    judged_ms: float | None = None
    """Monotonic time of the newest verdict on a sample."""
    watched_since_ms: float | None = None
    """Monotonic time of its first verdict."""
    struck: bool = False
    """Whether its broadcaster is known to have strikes that count."""
    shed: int = 0
    cleared_pts_ms: int = -1
    """The watermark, in the caller's own stamps."""
    wanted: gate_pb2.TierChange | None = None
    """The media that its worker wants. None until it watches."""
    shown_to: int = 0
    """How many people watch it now. Its caller leaves nothing out for them."""
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
    opened_ms: float = 0.0
    """Monotonic time at which its source opened."""
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
        """Whether a call watches it that has brought no frame yet."""
        watched = self.pushed and self.url is None and self.responses is not None and not self.cutting
        return watched and self.media is not None and not self.media.has_video

    @property
    def blind_ms(self) -> int:
        """How long its media came without a verdict, up to its newest unit."""
        since_ms = self.opened_ms if self.judged_ms is None else max(self.judged_ms, self.opened_ms)
        return max(0, round(self.fed_ms - since_ms))

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
        if (self.distrusted or self.shown_to) and change.tier == gate_pb2.TIER_KIND_CALM:
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

    def watched_ms(self, now_ms: float) -> int:
        """For how long it has been watched, at monotonic time ``now_ms``."""
        return 0 if self.watched_since_ms is None else round(now_ms - self.watched_since_ms)

    @property
    def is_recorded(self) -> bool:
        """Whether its media is evidence still, while it is being cut."""
        return self.cutting and self.media is not None and bool(self.media.recordings)

    @property
    def pull_is_over(self) -> bool:
        """Whether its pull has ended, so that no more media comes."""
        return self.url is not None and self.pull is None

    def stop_pull(self) -> None:
        """Nothing more is read: it could belong to the next publisher of that name."""
        pull, self.pull = self.pull, None
        if pull is not None:
            pull.stop()
