"""The pipeline of one stream, from access units to verdicts."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from edge.clock import Clock
from edge.decide import Decider, Decision, Suspicion
from edge.domain import AccessUnit, Action, Sample, Signal, SignalSource, StreamId, Tier, Verdict
from edge.errors import BrokenMedia
from edge.match import MIN_QUALITY, BankPurpose, Matcher, MatchVote, StreamMatcher
from edge.policy import Policy
from edge.reasons import DegradedReason
from edge.stream.assembly import SampleAssembly
from edge.stream.backlog import Backlog
from edge.stream.bitrate import BitrateJump
from edge.stream.calm_views import CalmView, CalmViews
from edge.stream.codecs import AnyCodec
from edge.stream.decode import UNDECODABLE_MS, Decoder
from edge.stream.draws import Draws
from edge.stream.frame_roles import DEFAULT_INTERVAL_MS
from edge.stream.frame_size_limit import FrameSizeLimit
from edge.stream.look_budget import LookBudget, Risk, RiskFactors, interval_ms, risk_of
from edge.stream.ports import DetectorPort, FrameTaker
from edge.stream.sampling import Disposition, Sampler
from edge.stream.tiers import TierState
from edge.telemetry.distributions import Distributions
from edge.timestamps import Timestamps

KEYFRAMELESS_UNITS = 600
"""Units without a first keyframe after which a stream counts as broken."""
KEYFRAMELESS_MS = 4 * UNDECODABLE_MS
"""The same limit in media time: twice the longest usual GOP."""
TORN_MS = 400
"""In the calm tier, a longer gap within a GOP means that the caller omitted media, as it may."""
MODEL_WAIT_MS = 10_000
"""Longest media time for which the old model still judges a suspicious stream after a change of models."""
STEPS = 9
"""Number of recent distances between units. Their median is the usual distance."""
LOOK_SLACK_MS = 300
"""Media beyond a look that is asked for, so that it comes also where the caller learns of it late."""
NEAR_MS = 30_000
"""Media time after known footage was near in which a calm stream is looked at as one of high risk."""
SLACK_MS = 10
"""Tolerance for stamps: they are rounded to milliseconds, and encoders are not exact."""
JUMP_HOLD_MS = 400
"""Alert after a jump of the bitrate. It gives two samples, unless a score prolongs it."""
JUMP_WISH_MS = 1_000
"""Alert after a jump of the bitrate while the worker has time. A new scene shows its content within a
second."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict on one sample, and the tier that follows."""

    verdict: Verdict
    tier: Tier
    tier_changed: bool
    score: float
    """Highest score that counts of all categories: of a motion model the belief."""
    near_match: bool
    passed: StageTimes
    going_on: tuple[Signal, ...] = ()
    """The sample's signals of what had its FLAG or CUT before and goes on."""
    calm_views: tuple[CalmView, ...] = ()
    """Frames that are to be remembered."""


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Times at which a sample passed the stages, in monotonic milliseconds."""

    arrival_ms: float
    decoded_ms: float
    converted_ms: float
    taken_ms: float
    detected_ms: float
    hashed_ms: float
    decided_ms: float


@dataclass(frozen=True, slots=True)
class PipelineCounters:
    """Counters of a stream's media so far."""

    units: int
    skipped: int
    """Access units that were not decoded, or not yet."""
    decoded: int
    """Decoded frames."""
    samples: int
    judged: int
    shed: dict[str, int]
    errors: dict[str, int]
    """Tolerated faults of the media, by reason."""
    blind_ms_max: int
    """Longest media time between judged samples."""
    bitrate_jumps: int
    """How often the calm tier ended because units became larger."""


class StreamPipeline:
    """Decodes, samples and judges one stream. Not thread-safe.

    The constructor raises as ``Decoder`` does.
    """

    def __init__(
        self,
        stream_id: StreamId,
        codec: AnyCodec,
        extradata: bytes,
        policy: Policy,
        detector: DetectorPort,
        matcher: Matcher,
        clock: Clock,
        *,
        alert: bool = False,
        calm: bool = False,
        times: Distributions | None = None,
        largest: FrameSizeLimit | None = None,
        seed: bytes | None = None,
    ) -> None:
        """``alert`` and ``calm`` set the first tier, instead of that of a new stream.

        ``seed`` is the secret from which it is drawn which frames make a sample, and when the gate looks into
        a GOP. With None the frames are the usual ones, which a publisher can foresee, and there are no looks.

        ``times`` collects the durations of the stages.
        """
        self.stream_id = stream_id
        self._policy = policy
        self._detector = detector
        self._matcher = matcher
        self._lookup = StreamMatcher(matcher)
        self._clock = clock
        self._decoder = Decoder(codec, extradata, largest)
        self._timestamps = Timestamps()
        self._draws = None if seed is None else Draws(seed)
        self._risk_factors = RiskFactors()
        self._near_ms: int | None = None
        self._bitrate = BitrateJump()
        self._first_pts_ms: int | None = None
        self._newest_pts_ms = 0
        self._looks: LookBudget | None = None
        if self._draws is not None:
            self._looks = LookBudget(self._draws, interval_ms(policy.looks, self.risk))
        self._sampler = Sampler(policy.tiers, detector.delta_ms, self._draws, self._looks)
        self._times = times or Distributions()
        self._assembly = SampleAssembly(
            self._decoder, self._sampler, detector, clock, self._times, self._draws
        )
        self._backlog = Backlog()
        self._tiers = TierState(policy.tiers, self._draws, alert=alert, calm=calm)
        self._tier = Tier.ALERT if alert or self._tiers.starting else Tier.CALM
        self._said_needed = self.needed_after_keyframe_ms
        self._window = detector.new_window()
        self._next_detector: DetectorPort | None = None
        self._next_since_ms: int | None = None
        self._suspicious = False
        self._vote, self._counting = _votes(policy)
        self._decider = Decider(policy)
        self._sounds: dict[tuple[str | None, str | None], Signal] = {}
        """Last signal of known audio since the newest judged sample, by bank and entry."""
        self._last_dts_ms: int | None = None
        self._last_step_ms = 0
        self._steps_ms: deque[int] = deque(maxlen=STEPS)
        self._gap = False
        self._rest_asked = False
        self._units = self._judged = self._jumps = 0
        self._untimed = False
        self._shed: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._keyframeless_since_ms: int | None = None
        self._judged_pts_ms: int | None = None
        self._views = CalmViews()
        self._blind_ms_max = 0

    @property
    def tier(self) -> Tier:
        """The tier to report. A stream that is sampled densely only in spare time counts as calm."""
        calm = self._tiers.opportunistic and not self._tiers.starting
        return Tier.CALM if calm else self._tier

    @property
    def alert_due(self) -> bool:
        """Whether alert is due, for a reason in the stream or at the request of the gate."""
        return self._tiers.due

    @property
    def opportunistic(self) -> bool:
        """Whether the newest unit was sampled densely only in spare time."""
        return self._tiers.opportunistic

    @property
    def starting(self) -> bool:
        """Whether the stream began less than ``tiers.start_alert_ms`` of media ago."""
        return self._tiers.starting

    @property
    def wants_all(self) -> bool:
        """Whether every unit must be decoded at the moment."""
        return self._tiers.dense or self._sampler.decodes_all or self._sampler.looking

    @property
    def risk(self) -> Risk:
        """The risk of the stream, by which it is looked at while it is calm."""
        age_ms = 0 if self._first_pts_ms is None else self._newest_pts_ms - self._first_pts_ms
        near = self._near_ms is not None and self._newest_pts_ms - self._near_ms <= NEAR_MS
        return risk_of(self._policy.looks, self._risk_factors, age_ms, hides=self._bitrate.hides, near=near)

    @property
    def gap(self) -> bool:
        """Whether decoding waits for the next keyframe, because units are missing."""
        return self._gap

    @property
    def disorderly(self) -> bool:
        """Whether frames come out in another order than that of their pts. dts then replaces pts."""
        return self._assembly.disorderly

    @property
    def size(self) -> tuple[int, int] | None:
        """``(height, width)`` of the newest frame. None before the first."""
        return self._decoder.size

    @property
    def burst_ms(self) -> int:
        """Most media time after a keyframe that a sample of the calm tier covers."""
        delta_ms = min(self._policy.tiers.burst_ms // 2, self._detector.delta_ms)
        return 2 * delta_ms + (0 if self._draws is None else delta_ms // 3)

    @property
    def cleared_pts_ms(self) -> int:
        """The watermark. -1 before the first cleared sample."""
        return self._decider.cleared_pts_ms

    @property
    def newest_pts_ms(self) -> int:
        """Media time of the newest unit."""
        return self._newest_pts_ms

    @property
    def blind_ms(self) -> int:
        """Media time since the newest judged sample, or since the start if there is none."""
        since_ms = self._first_pts_ms if self._judged_pts_ms is None else self._judged_pts_ms
        return 0 if since_ms is None else max(0, self._newest_pts_ms - since_ms)

    @property
    def needed_after_keyframe_ms(self) -> int | None:
        """In the calm tier, media later than this after a keyframe is not needed. None means all is
        needed."""
        if self._tiers.due or self._tiers.starting or self._sampler.decodes_all or self._rest_asked:
            return None
        look_ms = self._sampler.look_after_keyframe_ms
        # In steps, so that callers are told seldom.
        look_ms = 0 if look_ms is None else -(-(look_ms + LOOK_SLACK_MS) // 100) * 100
        return max(self.burst_ms, self._tiers.spare_ms, 2 * self._interval_ms, look_ms) + self._slack_ms

    @property
    def _interval_ms(self) -> int:
        """Usual media time from unit to unit."""
        return sorted(self._steps_ms)[len(self._steps_ms) // 2] if self._steps_ms else DEFAULT_INTERVAL_MS

    @property
    def _slack_ms(self) -> int:
        """Media that a burst may need beyond its own length.

        It needs the frame nearest to its end. Where frames are reordered, up to four come out late, and the
        decoder needs their units.
        """
        return SLACK_MS + (4 * self._interval_ms if self._decoder.delays_frames else self._interval_ms // 2)

    @property
    def counters(self) -> PipelineCounters:
        errors = self._errors + self._assembly.errors + self._decoder.errors + self._timestamps.counts
        return PipelineCounters(
            units=self._units,
            skipped=self._backlog.skipped,
            decoded=self._decoder.decoded,
            samples=self._assembly.samples,
            judged=self._judged,
            shed=dict(self._shed),
            errors=dict(errors),
            blind_ms_max=self._blind_ms_max,
            bitrate_jumps=self._jumps,
        )

    def decode(self, unit: AccessUnit) -> tuple[Sample, ...]:
        """Takes the next access unit in decoding order. Returns the samples that it completes.

        Damage is counted and tolerated up to a bound. Beyond it BrokenMedia is raised, FrameTooLarge for a
        frame over the limit, and nothing else.
        """
        unit = self._take(unit)
        self._follow_model(unit)
        if self._has_gap(unit):
            self._errors["after_gap"] += 1
            self._backlog.skipped += 1
            return ()
        if unit.deferred:
            self._sampler.lacked(unit.pts_ms)
            self._assembly.release()
            self._put_in_backlog(unit)
            return ()
        if not unit.keyframe:
            self._note_bitrate(unit)
        elif self._looks is not None:
            usual_ms = interval_ms(self._policy.looks, self.risk)
            self._looks.interval_ms = round(usual_ms * self._sampler.look_cost)
        tier = self._tier = self._tiers.at(unit.pts_ms, unit.keyframe)
        if self._assembly.sight is not None:
            self._assembly.sight.alert = self._tiers.due or self._tiers.starting
        plan = self._sampler.unit(unit.pts_ms, unit.keyframe, tier)
        match plan.feed:
            case Disposition.DROP:
                self._drop(unit)
                return ()
            case Disposition.SKIP:
                self._assembly.release()
                self._put_in_backlog(unit)
                return ()
            case Disposition.CATCH_UP:
                self._put_in_backlog(unit)
                return () if self._gap else self._assembly.feed(self._backlog.take(plan.backlog), tier)
            case _:
                return self._decode(unit, tier, restart=plan.feed is Disposition.RESTART)

    def set_detector(self, detector: DetectorPort) -> None:
        """Changes the model of the running stream between two samples.

        The window begins anew, because embeddings of two models cannot be compared. Episodes and
        beliefs continue. While the stream is suspicious, the old model continues for at most MODEL_WAIT_MS,
        so that a short new window lets nobody off. A model that needs other planes begins at a keyframe.
        """
        self._next_detector, self._next_since_ms = detector, None

    def _follow_model(self, unit: AccessUnit) -> None:
        detector = self._next_detector
        if detector is None or self._assembly.samples > self._judged + self._shed.total():
            return  # samples with planes of the old model are still unjudged
        if self._next_since_ms is None:
            self._next_since_ms = unit.pts_ms
        fits = unit.keyframe or detector.shares_planes(self._detector)
        if (self._suspicious or not fits) and unit.pts_ms - self._next_since_ms < MODEL_WAIT_MS:
            return
        self._assembly.follow(detector, unit.pts_ms)
        self._detector, self._next_detector = detector, None
        self._window = detector.new_window()

    def skip(self, unit: AccessUnit) -> None:
        """Takes a unit that is too late to decode. It is kept as evidence.

        Decoding continues at the next keyframe.
        """
        self._take(unit)
        self._backlog.skipped += 1
        self._tear()

    def drain(self) -> tuple[Sample, ...]:
        """Returns the last samples at the end of a stream. Raises BrokenMedia where no unit could be
        decoded."""
        samples = self._assembly.finish(self._tier)
        if self._units and not self._decoder.decoded:
            raise BrokenMedia(f"nothing decodable in all of {self._units} access units")
        return samples

    def hear(self, signals: tuple[Signal, ...]) -> None:
        """Takes known audio of the stream. The decision comes with the next sample."""
        for signal in signals:
            self._sounds[signal.bank, signal.entry] = signal

    def show(self, sight: FrameTaker | None) -> None:
        """Shows decoded frames that are due to what looks at single frames. None: to nothing."""
        self._assembly.sight = sight

    def judge_witness(self, signals: tuple[Signal, ...], arrival_ms: float) -> Judgement | None:
        """Decides on what was heard, or seen in a single frame.

        It does so at once: the next sample of a calm stream may be seconds away.

        Returns None where nothing follows. The watermark stays, because no sample was judged. Suspicion asks
        for alert.
        """
        begun_ms = self._clock.monotonic_ms()
        pts_ms = max((signal.pts_ms for signal in signals), default=self._newest_pts_ms)
        decision = self._decider.decide(signals, pts_ms, near_match=self._vote.near, clears=False)
        self._suspicious = decision.suspicious
        if decision.suspicion is Suspicion.STANDING:
            self._tiers.ask()
        elif decision.suspicion is Suspicion.RAISED:
            self._tiers.ask(self._policy.tiers.probe_ms)
        if decision.action is Action.PASS and not decision.going_on:
            return None
        views = self._views.judged(passes=False, suspicious=decision.suspicious)
        decided_ms = self._clock.monotonic_ms()
        passed = StageTimes(arrival_ms, begun_ms, begun_ms, begun_ms, begun_ms, begun_ms, decided_ms)
        verdict = self._verdict(decision, max(0.0, decided_ms - arrival_ms))
        return Judgement(verdict, self.tier, False, decision.score, False, passed, decision.going_on, views)

    def judge(self, sample: Sample) -> Judgement:
        """Judges one sample: detects, matches and decides."""
        taken_ms = self._clock.monotonic_ms()
        signals: tuple[Signal, ...] = ()
        if not self._policy.switches_off(self._detector.categories):
            seen = self._detector.infer(sample.planes)
            signals = self._window.add_sample(sample.pts_ms, seen, sample.tier)
        detected_ms = self._clock.monotonic_ms()
        match = self._policy.match
        near = False
        if match.enabled and self._matcher.hashes:
            # Banks are searched with the widest radius. A policy may use a smaller one.
            shown_ms = sample.pts_ms if sample.luma_pts_ms is None else sample.luma_pts_ms
            candidates = [
                c
                for c in self._lookup.query(shown_ms, sample.luma)
                if c.distance <= match.radius and c.quality >= match.min_quality
            ]
            acting = [c for c in candidates if c.purpose is not BankPurpose.COUNT]
            counted = [c for c in candidates if c.purpose is BankPurpose.COUNT]
            signals = (
                *signals,
                *self._vote.add_candidates(shown_ms, acting, any_speed=self._untimed),
                *self._counting.add_candidates(shown_ms, counted, any_speed=self._untimed),
            )
            near = self._vote.near
            if near:
                self._near_ms = shown_ms
        signals, self._sounds = (*signals, *self._sounds.values()), {}
        hashed_ms = self._clock.monotonic_ms()
        decision = self._decider.decide(signals, sample.pts_ms, near_match=near)
        self._suspicious = decision.suspicious
        score = max((s.score for s in decision.signals if _is_newest(s, sample)), default=0.0)
        self._note_judged(sample.pts_ms)
        tier = self._tiers.observe(sample.pts_ms, decision.suspicion)
        decided_ms = self._clock.monotonic_ms()
        self._times.detect.observe(detected_ms - taken_ms)
        self._times.hash.observe(hashed_ms - detected_ms)
        self._times.decide.observe(decided_ms - hashed_ms)
        passed = StageTimes(
            sample.arrival_ms,
            sample.decoded_ms,
            sample.converted_ms,
            taken_ms,
            detected_ms,
            hashed_ms,
            decided_ms,
        )
        verdict = self._verdict(decision, max(0.0, decided_ms - sample.arrival_ms))
        self._tier = tier
        if self._views.due(sample.pts_ms):
            found = self._matcher.hash_of(sample.luma)
            self._views.add_view(found.bits if found.quality >= MIN_QUALITY else b"", sample.pts_ms)
        calm = decision.action is Action.PASS and not decision.going_on
        views = self._views.judged(passes=calm, suspicious=decision.suspicious)
        return Judgement(
            verdict, self.tier, self.needs_changed(), score, near, passed, decision.going_on, views
        )

    def _verdict(self, decision: Decision, latency_ms: float) -> Verdict:
        return Verdict(
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
            latency_ms=latency_ms,
            begin_pts_ms=decision.begin_pts_ms,
            rule=decision.rule,
            urgent=decision.urgent,
        )

    def shed(self, sample: Sample, reason: DegradedReason) -> None:
        """Counts a sample that will not be judged.

        The watermark stays before it until a later sample is judged. Alert that was due continues for a
        while, because nothing has contradicted it.
        """
        self._shed[reason] += 1
        self._tiers.unjudged(sample.pts_ms)

    def ask_alert(self, hold_ms: int | None = None) -> None:
        """Asks for alert from the next access unit on, whatever the scores.

        It lasts ``hold_ms``, by default ``alert_hold_ms``. While the worker has time, it lasts at least as
        long as after a jump of the bitrate.
        """
        self._tiers.ask(hold_ms, wish_ms=JUMP_WISH_MS)

    def spare(self, ms: int) -> bool:
        """Grants dense samples for the first ``ms`` of each GOP, from the next one on.

        Returns whether the media that is needed has changed.
        """
        self._tiers.spare(ms)
        return self.needs_changed()

    def preempt(self) -> None:
        """Ends voluntary alert until the next keyframe, because the worker has no time."""
        self._tiers.preempt()

    def let_look(self, may_look: bool) -> None:
        """Sets whether a look may begin. One that is due waits while the worker is late."""
        self._sampler.may_look = may_look

    def set_risk_factors(self, factors: RiskFactors) -> None:
        """Notes what is known of the broadcaster and the audience."""
        self._risk_factors = factors

    def ask_rest(self) -> bool:
        """Asks for the whole current GOP. Returns whether that is new.

        It is for a stream that sends nothing: its caller omits media as told, or the stream has ended.
        """
        self._rest_asked = True
        return self.needs_changed()

    def needs_changed(self) -> bool:
        """Whether the media that is needed has changed since the last call."""
        needed = self.needed_after_keyframe_ms
        changed, self._said_needed = needed != self._said_needed, needed
        return changed

    def set_policy(self, policy: Policy) -> None:
        """Changes the policy of the running stream. Earlier observations still count."""
        if (policy.match.k, policy.match.span_ms) != (self._policy.match.k, self._policy.match.span_ms):
            self._vote, self._counting = _votes(policy)
        self._policy = policy
        self._decider.set_policy(policy)
        self._tiers.set_policy(policy.tiers)
        self._sampler.set_policy(policy.tiers)

    def _take(self, unit: AccessUnit) -> AccessUnit:
        """Converts a unit's stamps to media time."""
        self._units += 1
        self._untimed = unit.untimed
        if unit.keyframe:
            self._rest_asked = False
        pts_ms, dts_ms = self._timestamps.advance(unit.pts_ms, unit.dts_ms)
        pts_ms = dts_ms if self.disorderly else pts_ms
        if (pts_ms, dts_ms) != (unit.pts_ms, unit.dts_ms):
            unit = replace(unit, pts_ms=pts_ms, dts_ms=dts_ms)
        if self._first_pts_ms is None:
            self._first_pts_ms = pts_ms
        self._newest_pts_ms = max(self._newest_pts_ms, pts_ms)
        return unit

    def _has_gap(self, unit: AccessUnit) -> bool:
        """Whether earlier units of its GOP are missing, so that this unit cannot be decoded.

        Only a caller that may omit media is suspected. An encoder that drops frames leaves gaps too, but
        the units after them can be decoded.
        """
        step_ms = 0 if self._last_dts_ms is None else unit.dts_ms - self._last_dts_ms
        if unit.keyframe:
            self._gap = False
        elif self._said_needed is not None and step_ms > max(TORN_MS, 4 * self._last_step_ms):
            self._tear()
        elif step_ms > 0:
            self._steps_ms.append(step_ms)
        self._last_dts_ms, self._last_step_ms = unit.dts_ms, step_ms
        return self._gap

    def _note_bitrate(self, unit: AccessUnit) -> None:
        ratio = self._policy.tiers.bitrate_jump
        if ratio and self._bitrate.add_unit(unit.dts_ms, len(unit.data), ratio) and not self._tiers.due:
            self._jumps += 1
            self._tiers.ask(JUMP_HOLD_MS, wish_ms=JUMP_WISH_MS)

    def _drop(self, unit: AccessUnit) -> None:
        self._errors["before_keyframe"] += 1
        if self._keyframeless_since_ms is None:
            self._keyframeless_since_ms = unit.dts_ms
        waited_ms = unit.dts_ms - self._keyframeless_since_ms
        count = self._errors["before_keyframe"]
        if count >= KEYFRAMELESS_UNITS or waited_ms >= KEYFRAMELESS_MS:
            raise BrokenMedia(f"no keyframe in {count} access units ({waited_ms} ms of media)")

    def _decode(self, unit: AccessUnit, tier: Tier, *, restart: bool) -> tuple[Sample, ...]:
        self._backlog.clear()
        if restart:
            self._assembly.restart()
        samples = self._assembly.feed((unit,), tier)
        if not samples:
            samples, lost = self._assembly.end_burst(unit, tier)
            if lost:
                self._backlog.put_back(lost)
        return samples

    def _put_in_backlog(self, unit: AccessUnit) -> None:
        """Puts a unit into the backlog. It takes no more memory than the stream's ring: the rest of a larger
        GOP is skipped."""
        if unit.keyframe:
            self._backlog.clear()
        if not self._backlog.add_unit(unit, self._policy.evidence.ring_bytes):
            self._errors["backlog_overflow"] += 1
            self._tear()

    def _tear(self) -> None:
        """Skips all units up to the next keyframe, because the rest of this GOP cannot be decoded."""
        self._gap = True
        self._backlog.clear()
        self._sampler.lost()

    def _note_judged(self, pts_ms: int) -> None:
        self._judged += 1
        if self._judged_pts_ms is not None:
            self._times.blind.observe(pts_ms - self._judged_pts_ms)
            self._blind_ms_max = max(self._blind_ms_max, pts_ms - self._judged_pts_ms)
        self._judged_pts_ms = max(pts_ms, self._judged_pts_ms or pts_ms)


def _votes(policy: Policy) -> tuple[MatchVote, MatchVote]:
    """Returns the vote of matches that act, and that of matches which are only counted. The second crowds no
    sample out of the first."""
    k, span_ms = policy.match.k, policy.match.span_ms
    return MatchVote(k, span_ms), MatchVote(k, span_ms)


def _is_newest(signal: Signal, sample: Sample) -> bool:
    """Whether the detector says it of this sample, not of an earlier one."""
    return signal.source is SignalSource.DETECT and signal.pts_ms == sample.pts_ms
