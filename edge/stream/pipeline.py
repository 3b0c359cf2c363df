"""One stream's way from access units to verdicts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.video.frame import VideoFrame

from edge.clock import Clock
from edge.decide import Decider
from edge.domain import AccessUnit, Sample, StreamId, Tier, Verdict
from edge.errors import BrokenMedia
from edge.match import MatchVote
from edge.policy import Policy
from edge.stream.bitrate import BitrateJump
from edge.stream.codecs import AnyCodec
from edge.stream.decode import FRUITLESS_MS, Decoder
from edge.stream.ports import DetectorPort, Luma, MatcherPort
from edge.stream.ring import Ring
from edge.stream.sampling import Feed, Sampler
from edge.stream.tiers import TierState
from edge.stream.timestamps import Timestamps

KEYFRAMELESS_UNITS = 600
"""Units before the first keyframe after which a stream counts as broken …"""
KEYFRAMELESS_MS = 4 * FRUITLESS_MS
"""… or media time: the longest usual GOP twice over."""
TORN_MS = 400
"""Calm: a longer gap within a GOP means that the caller left media out, as it was told it may."""
JUMP_HOLD_MS = 1_000
"""How long a jump of the bitrate is looked at densely, unless a score prolongs it."""
_ARRIVALS = 64
_PLANES = 40


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict on one sample, and the tier that follows from it."""

    verdict: Verdict
    tier: Tier
    tier_changed: bool
    score: float
    """Highest window score of any category."""
    near_match: bool


@dataclass(frozen=True, slots=True)
class PipelineCounters:
    """What became of a stream's media so far."""

    units: int
    skipped: int
    """Access units that were not decoded (yet)."""
    decoded: int
    """Frames."""
    samples: int
    judged: int
    shed: dict[str, int]
    errors: dict[str, int]
    """Tolerated faults of the media, by reason."""
    blind_ms_max: int
    """Longest media time between judged samples."""
    bitrate_jumps: int
    """Times that calm tier was left because units became larger."""


class StreamPipeline:
    """Decodes, samples and judges one stream; used from one thread.

    Raises what ``Decoder`` raises when it is built.
    """

    def __init__(
        self,
        stream_id: StreamId,
        codec: AnyCodec,
        extradata: bytes,
        policy: Policy,
        detector: DetectorPort,
        matcher: MatcherPort,
        clock: Clock,
        *,
        alert: bool = False,
    ) -> None:
        self.stream_id = stream_id
        self.ring = Ring(policy.evidence.ring_ms, policy.evidence.ring_bytes)
        self._policy = policy
        self._detector = detector
        self._matcher = matcher
        self._clock = clock
        self._decoder = Decoder(codec, extradata)
        self._timestamps = Timestamps()
        self._sampler = Sampler(policy.tiers, detector.delta_ms)
        self._tiers = TierState(policy.tiers, alert=alert)
        self._tier = Tier.ALERT if alert or policy.tiers.start_alert_ms > 0 else Tier.CALM
        self._said_needed = self.needed_after_keyframe_ms
        self._window = detector.new_window()
        self._vote = MatchVote(policy.match.k, policy.match.n)
        self._decider = Decider(policy)
        self._backlog: deque[AccessUnit] = deque()
        self._backlog_bytes = 0
        self._decoded_backlog = 0
        self._burst: list[AccessUnit] = []
        self._restart_next = False
        self._arrivals: dict[int, float] = {}
        self._planes: dict[int, Luma] = {}
        self._previous: VideoFrame | None = None
        self._newest: VideoFrame | None = None
        self._expects_keyframe = False
        self._last_dts_ms: int | None = None
        self._last_step_ms = 0
        self._torn = False
        self._bitrate = BitrateJump()
        self._units = self._skipped = self._samples = self._judged = self._jumps = 0
        self._shed: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._keyframeless_since_ms: int | None = None
        self._judged_pts_ms: int | None = None
        self._first_pts_ms: int | None = None
        self._newest_pts_ms = 0
        self._blind_ms_max = 0

    @property
    def tier(self) -> Tier:
        return self._tier

    @property
    def cleared_pts_ms(self) -> int:
        """The watermark; -1 before the first cleared sample."""
        return self._decider.cleared_pts_ms

    @property
    def blind_ms(self) -> int:
        """Media time since the newest judged sample, or since the start."""
        since_ms = self._first_pts_ms if self._judged_pts_ms is None else self._judged_pts_ms
        return 0 if since_ms is None else max(0, self._newest_pts_ms - since_ms)

    @property
    def needed_after_keyframe_ms(self) -> int | None:
        """Calm tier: media that starts later than this after a keyframe is not needed. None: all is."""
        if self._tier is not Tier.CALM or self._sampler.decodes_all:
            return None
        # Reordered frames come out up to four frames late, and a decoder wants those units, too.
        return min(self._policy.tiers.burst_ms, 2 * self._detector.delta_ms) + 200

    @property
    def counters(self) -> PipelineCounters:
        errors = self._errors + self._decoder.errors + self._timestamps.counts
        return PipelineCounters(
            units=self._units,
            skipped=self._skipped,
            decoded=self._decoder.decoded,
            samples=self._samples,
            judged=self._judged,
            shed=dict(self._shed),
            errors=dict(errors),
            blind_ms_max=self._blind_ms_max,
            bitrate_jumps=self._jumps,
        )

    def decode(self, unit: AccessUnit) -> tuple[Sample, ...]:
        """Takes the next access unit in decoding order; the samples that it completes.

        Damage is counted and tolerated up to a bound. Raises BrokenMedia beyond it, and nothing else.
        """
        unit = self._take(unit)
        if self._is_torn(unit):
            self._errors["after_gap"] += 1
            self._skipped += 1
            self._restart_next = True
            return ()
        if not unit.keyframe:
            self._note_bitrate(unit)
        tier = self._tiers.at(unit.pts_ms)
        self._tier = tier
        plan = self._sampler.unit(unit.pts_ms, unit.keyframe, tier)
        match plan.feed:
            case Feed.DROP:
                self._drop(unit)
                return ()
            case Feed.SKIP:
                if unit.keyframe:
                    self._forget_backlog()
                self._skipped += 1
                self._release()
                self._hold(unit)
                return ()
            case Feed.CATCH_UP:
                self._backlog.append(unit)
                again = min(plan.backlog, self._decoded_backlog)
                self._decoded_backlog -= again
                self._skipped += 1 - (plan.backlog - again)
                units = [self._backlog.popleft() for _ in range(plan.backlog)]
                self._backlog_bytes = sum(len(waiting.data) for waiting in self._backlog)
                return self._feed(units)
            case _:
                self._forget_backlog()
                if plan.feed is Feed.RESTART or self._restart_next:
                    self._restart()
                return self._feed((unit,)) or self._end_burst(unit)

    def skip(self, unit: AccessUnit) -> None:
        """Takes a unit that will not be decoded, because its moment has passed; it is kept as evidence.

        The next unit given to ``decode`` must be a keyframe.
        """
        unit = self._take(unit)
        self._skipped += 1
        self._forget_backlog()
        self._restart_next = self._torn = True

    def drain(self) -> tuple[Sample, ...]:
        """The samples still to come at the end of a stream. Raises BrokenMedia where none of its units
        could be decoded."""
        samples = list(self._use(self._decoder.drain()))
        if not samples and (pts := self._sampler.finish()) is not None and self._newest is not None:
            samples.append(self._sample(pts))
        self._release()
        if self._units and not self._decoder.decoded:
            raise BrokenMedia(f"nothing decodable in all of {self._units} access units")
        return tuple(samples)

    def judge(self, sample: Sample) -> Judgement:
        """Detect, match and decide on one sample."""
        signals = self._window.add(sample.pts_ms, self._detector.infer(sample.planes), sample.tier)
        score = max((signal.score for signal in signals), default=0.0)
        match = self._policy.match
        near = False
        if match.enabled:
            # Banks are searched with the widest radius; a policy may want less.
            candidates = [c for c in self._matcher.query(sample.luma) if c.distance <= match.radius]
            signals = (*signals, *self._vote.add(sample.pts_ms, candidates))
            near = self._vote.near
        decision = self._decider.decide(signals, sample.pts_ms, near_match=near)
        self._note_judged(sample.pts_ms)
        tier = self._tiers.observe(sample.pts_ms, decision.suspicious)
        verdict = Verdict(
            action=decision.action,
            pts_ms=decision.pts_ms,
            cleared_pts_ms=decision.cleared_pts_ms,
            category=decision.category,
            reason=decision.reason,
            score=decision.score,
            signals=decision.signals,
            policy_version=self._policy.version,
            model_digest=self._detector.digest,
            shadow=decision.shadow,
            latency_ms=max(0.0, self._clock.monotonic_ms() - sample.arrival_ms),
        )
        self._tier = tier
        needed = self.needed_after_keyframe_ms
        changed, self._said_needed = needed != self._said_needed, needed
        return Judgement(verdict, tier, changed, score, near)

    def shed(self, sample: Sample, reason: str) -> None:
        """Counts a sample that will not be judged. The watermark stays before it until a later one is."""
        self._shed[reason] += 1

    def ask_alert(self) -> None:
        """Alert from the next access unit on, whatever the scores."""
        self._tiers.ask()

    def set_policy(self, policy: Policy) -> None:
        """A new policy for the running stream; what was seen so far still counts."""
        if (policy.match.k, policy.match.n) != (self._policy.match.k, self._policy.match.n):
            self._vote = MatchVote(policy.match.k, policy.match.n)
        self._policy = policy
        self._decider.set_policy(policy)
        self._tiers.set_policy(policy.tiers)
        self._sampler.set_policy(policy.tiers)
        self.ring.resize(policy.evidence.ring_ms, policy.evidence.ring_bytes)

    def _take(self, unit: AccessUnit) -> AccessUnit:
        """In media time, and into the ring."""
        self._units += 1
        pts_ms, dts_ms = self._timestamps.advance(unit.pts_ms, unit.dts_ms)
        if (pts_ms, dts_ms) != (unit.pts_ms, unit.dts_ms):
            unit = AccessUnit(pts_ms, dts_ms, unit.keyframe, unit.data, unit.arrival_ms)
        self.ring.append(unit)
        if self._first_pts_ms is None:
            self._first_pts_ms = pts_ms
        self._newest_pts_ms = max(self._newest_pts_ms, pts_ms)
        return unit

    def _is_torn(self, unit: AccessUnit) -> bool:
        """Whether the units before it in its GOP are missing, so that it cannot be decoded.

        Only a caller that was told that it may leave media out is suspected: an encoder that drops
        frames leaves gaps, too, and what follows those can be decoded.
        """
        step_ms = 0 if self._last_dts_ms is None else unit.dts_ms - self._last_dts_ms
        if unit.keyframe:
            self._torn = False
        elif self._said_needed is not None and step_ms > max(TORN_MS, 4 * self._last_step_ms):
            self._torn = True
            self._forget_backlog()
        self._last_dts_ms, self._last_step_ms = unit.dts_ms, step_ms
        return self._torn

    def _note_bitrate(self, unit: AccessUnit) -> None:
        ratio = self._policy.tiers.bitrate_jump
        if ratio and self._bitrate.add(unit.dts_ms, len(unit.data), ratio) and self._tier is Tier.CALM:
            self._jumps += 1
            self._tiers.ask(JUMP_HOLD_MS)

    def _drop(self, unit: AccessUnit) -> None:
        self._errors["before_keyframe"] += 1
        if self._keyframeless_since_ms is None:
            self._keyframeless_since_ms = unit.dts_ms
        waited_ms = unit.dts_ms - self._keyframeless_since_ms
        count = self._errors["before_keyframe"]
        if count >= KEYFRAMELESS_UNITS or waited_ms >= KEYFRAMELESS_MS:
            raise BrokenMedia(f"no keyframe in {count} access units ({waited_ms} ms of media)")

    def _end_burst(self, unit: AccessUnit) -> tuple[Sample, ...]:
        """Where the decoder holds frames back, a burst that is fed ends by emptying it: cheaper than
        feeding it more units, and a few frames sooner."""
        count = self._sampler.burst_units
        if count == 1:
            self._burst.clear()
        if count and self._decoder.holds_back:
            self._burst.append(unit)
        if not self._decoder.holds_back or len(self._burst) != count or not self._sampler.burst_is_fed:
            return ()
        samples = tuple(self._use(self._decoder.drain()))
        self._sampler.drained(count)
        self._expects_keyframe = True
        self._decoded_backlog = count
        for waiting in self._burst:
            self._hold(waiting)
        self._burst.clear()
        return samples

    def _hold(self, unit: AccessUnit) -> None:
        """In the backlog, which takes no more memory than the ring: a GOP that passes that is waited out."""
        self._backlog.append(unit)
        self._backlog_bytes += len(unit.data)
        if self._backlog_bytes > self._policy.evidence.ring_bytes:
            self._errors["backlog_overflow"] += 1
            self._torn = True
            self._forget_backlog()

    def _forget_backlog(self) -> None:
        self._backlog.clear()
        self._backlog_bytes = self._decoded_backlog = 0

    def _restart(self) -> None:
        self._decoder.restart()
        self._restart_next = False
        self._expects_keyframe = True
        self._previous = None

    def _feed(self, units: Iterable[AccessUnit]) -> tuple[Sample, ...]:
        samples: list[Sample] = []
        for unit in units:
            self._arrivals[unit.pts_ms] = unit.arrival_ms
            if len(self._arrivals) > _ARRIVALS:
                del self._arrivals[next(iter(self._arrivals))]
            samples.extend(self._use(self._decoder.decode(unit)))
        return tuple(samples)

    def _use(self, frames: list[VideoFrame]) -> Iterator[Sample]:
        for frame in frames:
            if self._expects_keyframe:
                self._expects_keyframe = False
                if not frame.key_frame:
                    self._errors["false_keyframe"] += 1
                    self._sampler.distrust_keyframes()
            pts_ms = frame.pts
            assert pts_ms is not None
            taps = self._sampler.frame(pts_ms)
            previous, self._previous = self._previous, frame
            if taps.keep_previous and previous is not None:
                self._keep(previous)
            if taps.keep:
                self._keep(frame)
            if taps.sample is not None:
                yield self._sample(taps.sample)

    def _keep(self, frame: VideoFrame) -> None:
        """Scales at once: the plane serves every sample that the frame is part of."""
        assert frame.pts is not None
        self._planes[frame.pts] = self._converted(self._detector.plane, frame)
        self._newest = frame
        if len(self._planes) > _PLANES:
            del self._planes[next(iter(self._planes))]

    def _sample(self, pts: tuple[int, int, int]) -> Sample:
        assert self._newest is not None
        self._samples += 1
        sample = Sample(
            pts_ms=pts[2],
            arrival_ms=self._arrivals.get(pts[2], self._clock.monotonic_ms()),
            planes=np.stack([self._planes[time] for time in pts]),
            luma=self._converted(self._decoder.luma, self._newest),
            tier=self._tier,
        )
        oldest_ms = self._sampler.oldest_kept_ms
        for time in [t for t in self._planes if oldest_ms is None or t < oldest_ms]:
            del self._planes[time]
        return sample

    def _converted(self, convert: Callable[[VideoFrame], Luma], frame: VideoFrame) -> Luma:
        try:
            return convert(frame)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise BrokenMedia(
                f"frame of format {frame.format.name}, {frame.width}x{frame.height}: {error}"
            ) from error

    def _release(self) -> None:
        """Calm and between bursts: no frame is needed, and a full-size one is megabytes."""
        self._previous = self._newest = None

    def _note_judged(self, pts_ms: int) -> None:
        self._judged += 1
        if self._judged_pts_ms is not None:
            self._blind_ms_max = max(self._blind_ms_max, pts_ms - self._judged_pts_ms)
        self._judged_pts_ms = max(pts_ms, self._judged_pts_ms or pts_ms)
