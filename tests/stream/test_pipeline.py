"""From access units to verdicts: tiers, watermark, ring and counters."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import numpy.typing as npt
import pytest

from edge.clock import SystemClock
from edge.detect import Detector, PlaneScaler, default_model_directory
from edge.domain import Action, Codec, Tier, new_stream_id
from edge.match import Bank, BankInfo, BankPurpose, Entry, EntryKind, Footage, HashRun, Matcher, PdqHasher
from edge.policy import CategoryPolicy, EvidencePolicy, LookPolicy, Mode, Policy, TierPolicy
from edge.reasons import DegradedReason
from edge.stream import Decoder, StreamPipeline, open_media_file
from edge.stream.synthetic import EncodedMedia, encode
from tests.match.evasion.test_filmed_screen import SLANTED, filmed, picture

if TYPE_CHECKING:
    from tests.stream.conftest import Watch

CALM = Policy(mode=Mode.ENFORCE, tiers=TierPolicy(start_alert_ms=0))
ZERO_LATENCY = {"tune": "zerolatency"}


@pytest.fixture(scope="module")
def media() -> EncodedMedia:
    """10 s at 30 fps, GOP 2 s, without reordering."""
    return encode(frames=300, gop=60, options=ZERO_LATENCY)


def test_calm_stream_costs_one_burst_a_gop(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, CALM).feed(media.units, end=True)
    assert watched.times == [200, 2200, 4200, 6200, 8200]
    counters = watched.pipeline.counters
    assert (counters.units, counters.decoded, counters.skipped) == (300, 35, 265)
    assert (counters.samples, counters.judged, counters.blind_ms_max) == (5, 5, 2000)
    assert counters.errors == {}
    assert {s.tier for s in watched.samples} == {Tier.CALM}


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("b_frames", [0, 3])
def test_bursts_and_dense_decoding_agree(codec: Codec, b_frames: int, watch: Watch) -> None:
    """A burst after skipped units shows exactly the frames that full decoding shows."""
    media = encode(codec, frames=120, gop=30, b_frames=b_frames, in_band=True)
    dense = watch(media, Policy(tiers=TierPolicy(start_alert_ms=100_000)), alert=True)
    dense.feed(media.units, end=True)
    calm = watch(media, CALM).feed(media.units, end=True)
    assert len(calm.samples) == 4
    assert calm.pipeline.counters.errors == {}
    assert calm.pipeline.counters.decoded < dense.pipeline.counters.decoded / 2
    decoder, scaler = Decoder(codec), PlaneScaler(64, 64)
    planes = {f.pts: scaler.plane(f) for u in media.units for f in decoder.decode(u)}
    for watched in (dense, calm):
        for sample, seen in zip(watched.samples, watched.detector.planes, strict=True):
            newest = planes[sample.pts_ms]
            assert np.array_equal(seen[2], newest)
            assert any(np.array_equal(seen[0], p) for t, p in planes.items() if t == sample.pts_ms - 200)


def test_start_in_alert_then_calm(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media).feed(media.units, end=True)
    assert watched.times[:14] == list(range(200, 3000, 200))
    assert watched.times[14:] == [4200, 6200, 8200]


def test_raised_score_is_looked_at_closely_at_once(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, CALM, score_at=lambda pts: 0.3 if 2200 <= pts < 3000 else 0.0)
    watched.feed(media.units, end=True)
    assert watched.times == [200, *range(2200, 3001, 200), 4200, 6200, 8200]


def test_score_that_calls_for_a_flag_is_watched_for_the_hold(media: EncodedMedia, watch: Watch) -> None:
    policy = CALM.model_copy(update={"tiers": TierPolicy(start_alert_ms=0, alert_hold_ms=3000)})
    watched = watch(media, policy, score_at=lambda pts: 0.6 if 2200 <= pts <= 2400 else 0.0)
    watched.feed(media.units, end=True)
    assert watched.times == [200, *range(2200, 5201, 200), 6200, 8200]
    changes = [
        (s.pts_ms, j.tier) for s, j in zip(watched.samples, watched.judgements, strict=True) if j.tier_changed
    ]
    assert changes == [(200, Tier.CALM), (2200, Tier.ALERT), (6200, Tier.CALM)]


def test_needed_after_keyframe_is_told_only_where_units_are_skipped(
    media: EncodedMedia, watch: Watch
) -> None:
    watched = watch(media)
    assert watched.pipeline.needed_after_keyframe_ms is None
    watched.feed(media.units)
    needed = watched.pipeline.needed_after_keyframe_ms
    assert needed is not None
    assert needed >= 200
    long_gops = encode(frames=300, gop=300, options=ZERO_LATENCY)
    assert watch(long_gops).feed(long_gops.units).pipeline.needed_after_keyframe_ms is None


def test_caller_that_leaves_out_what_is_not_needed(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media)
    sent, keyframe_ms = 0, 0
    for unit in media.units:
        keyframe_ms = unit.pts_ms if unit.keyframe else keyframe_ms
        needed = watched.pipeline.needed_after_keyframe_ms
        if needed is None or unit.pts_ms - keyframe_ms <= needed:
            watched.feed([unit])
            sent += 1
    assert watched.times[14:] == [4200, 6200, 8200]
    assert sent < 150
    assert watched.pipeline.counters.errors == {}


def test_media_that_was_left_out_is_not_decoded_over(media: EncodedMedia, watch: Watch) -> None:
    """Alert is requested inside a GOP of which the caller has left out a part."""
    watched = watch(media, CALM)
    watched.feed(u for u in media.units if u.pts_ms % 2000 <= 400 and u.pts_ms < 4000)
    watched.pipeline.ask_alert()
    watched.feed(u for u in media.units if u.pts_ms >= 5000)
    assert watched.pipeline.counters.errors == {"after_gap": 30}
    assert watched.times[:4] == [200, 2200, 6200, 6400]


def test_alert_asked_for_in_mid_gop_uses_the_skipped_units(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, CALM).feed(media.units[:100])
    assert watched.times == [200, 2200]
    watched.pipeline.ask_alert()
    watched.feed(media.units[100:130])
    assert watched.pipeline.counters.skipped == 53
    assert watched.times[2] == media.units[105].pts_ms  # Five units later the decoder is in step.


def test_backlog_takes_no_more_memory_than_the_ring(watch: Watch) -> None:
    media = encode(frames=150, gop=60, options=ZERO_LATENCY)
    large = [replace(u, data=u.data + bytes(60_000)) for u in media.units]
    policy = CALM.model_copy(update={"evidence": EvidencePolicy(ring_bytes=1024 * 1024)})
    watched = watch(media, policy).feed(large[:40])
    assert watched.pipeline.counters.errors["backlog_overflow"] == 1
    watched.pipeline.ask_alert()
    watched.feed(large[40:])
    # Nothing is decoded before the next keyframe.
    assert watched.times[:3] == [200, 2200, 2400]


def test_watermark_stops_before_suspicion_and_is_frozen_by_the_cut(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, score_at=lambda pts: 0.95 if pts >= 1000 else 0.05).feed(media.units)
    actions = [j.verdict.action for j in watched.judgements]
    assert actions.count(Action.CUT) == 1
    assert actions.index(Action.CUT) == watched.times.index(1000)
    assert {j.verdict.cleared_pts_ms for j in watched.judgements[4:]} == {800}
    assert watched.pipeline.cleared_pts_ms == 800


def test_watermark_does_not_pass_a_shed_sample_until_a_later_one_is_judged(
    media: EncodedMedia, watch: Watch
) -> None:
    watched = watch(media)
    samples = [s for u in media.units[:40] for s in watched.pipeline.decode(u)]
    assert watched.pipeline.judge(samples[0]).verdict.cleared_pts_ms == 200
    watched.pipeline.shed(samples[1], DegradedReason.LATE)
    watched.pipeline.shed(samples[2], DegradedReason.SUPERSEDED)
    assert watched.pipeline.cleared_pts_ms == 200
    assert watched.pipeline.judge(samples[3]).verdict.cleared_pts_ms == 800
    assert watched.pipeline.counters.shed == {"late": 1, "superseded": 1}
    assert watched.pipeline.counters.blind_ms_max == 600
    assert watched.pipeline.blind_ms == media.units[39].pts_ms - 800


def test_arrival_of_the_newest_frame_starts_the_budget(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media)
    watched.feed(replace(u, arrival_ms=float(index)) for index, u in enumerate(media.units[:20]))
    assert [s.arrival_ms for s in watched.samples] == [6.0, 12.0, 18.0]
    assert watched.judgements[0].verdict.latency_ms == 994.0


@pytest.mark.parametrize("alert", [True, False])
@pytest.mark.parametrize(("fps", "b_frames"), [(8, 3), (3, 2)])
def test_frame_that_is_held_back_starts_the_budget_when_it_comes_out(
    fps: int, b_frames: int, alert: bool, watch: Watch
) -> None:
    """At low frame rates the units that the decoder delays last longer than the budget.

    Each GOP is over the blind limit, so that calm tier decodes in step, too.
    """
    options = {"preset": "medium", "b_strategy": "0", "scenecut": "0"}
    media = encode(frames=fps * 30, fps=fps, gop=fps * 10, b_frames=b_frames, options=options)
    watched = watch(media, CALM, alert=alert)
    in_step = 0
    for index, unit in enumerate(media.units):
        for sample in watched.pipeline.decode(replace(unit, arrival_ms=float(index))):
            assert index - sample.arrival_ms <= 1
            in_step += sample.arrival_ms == index
    assert in_step >= 10


def test_policy_change_takes_effect_on_the_running_stream(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, score_at=lambda pts: 0.6).feed(media.units[:31])
    assert watched.judgements[-1].verdict.policy_version == 1
    strict = CategoryPolicy(flag_at=0.3, cut_at=0.5)
    watched.pipeline.set_policy(Policy(version=2, mode=Mode.ENFORCE, categories={"fight": strict}))
    watched.feed(media.units[31:200])
    verdict = watched.judgements[5].verdict
    assert (verdict.action, verdict.policy_version) == (Action.CUT, 2)


def test_decoding_goes_on_at_a_keyframe_behind_skipped_media(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media).feed(media.units[:30])
    for unit in media.units[30:60]:
        watched.pipeline.skip(unit)
    watched.feed(media.units[60:90])
    assert watched.pipeline.counters.errors == {}
    assert watched.times == [200, 400, 600, 800, 2200, 2400, 2600, 2800]


def frames_held() -> int:
    """Includes a frame, because the decoder holds one back without it."""
    return sum(isinstance(held, av.VideoFrame) and held.width > 0 for held in gc.get_objects())


def test_between_its_bursts_a_calm_stream_holds_no_frame(media: EncodedMedia, watch: Watch) -> None:
    """Holds whether or not the caller leaves out what is not needed. A frame of 720p takes 1.4 MB."""
    gc.collect()  # Frees what other tests have left.
    before = frames_held()
    for units in (media.units[:7], media.units[:40]):
        watched = watch(media, CALM).feed(units)
        assert watched.times == [200]
        watched.samples.clear()
        assert frames_held() <= before


def test_alert_goes_on_from_a_burst_whose_frames_are_gone(media: EncodedMedia, watch: Watch) -> None:
    for last in range(6, 14):
        watched = watch(media, CALM).feed(media.units[:last])
        watched.pipeline.ask_alert()
        watched.feed(media.units[last:40])
        assert watched.pipeline.counters.errors == {}
        assert watched.times[-1] >= 1000
        assert max(np.diff(watched.times)) <= 400


def test_resolution_change_in_mid_stream(watch: Watch) -> None:
    small = encode(frames=30, gop=30, in_band=True, options=ZERO_LATENCY)
    large = encode(frames=30, gop=30, in_band=True, size=(240, 320), start_ms=1000, options=ZERO_LATENCY)
    watched = watch(small).feed([*small.units, *large.units])
    assert watched.times == [200, 400, 600, 800, 1200, 1400, 1600, 1800]
    assert [s.luma.shape for s in watched.samples] == [(96, 128)] * 4 + [(240, 320)] * 4


def test_resolution_that_changes_all_the_time_does_not_blind(watch: Watch) -> None:
    sizes = [encode(frames=1, in_band=True, size=size).units[0] for size in ((96, 128), (128, 160))]
    units = [replace(sizes[i % 2], pts_ms=i * 33, dts_ms=i * 33) for i in range(200)]
    media = encode(frames=1, in_band=True)
    assert len(watch(media, alert=True).feed(units).samples) >= 5


def test_short_stream_leaves_one_sample(watch: Watch) -> None:
    media = encode(frames=1)
    watched = watch(media).feed(media.units, end=True)
    assert watched.times == [0]


def test_real_fight_is_cut_or_flagged_and_replays_to_the_same(fight_clip: Path) -> None:
    detector = Detector.load(default_model_directory())

    def replay() -> list[tuple[int, Action, float]]:
        with open_media_file(fight_clip) as media:
            pipeline = StreamPipeline(
                new_stream_id(),
                media.codec,
                media.extradata,
                Policy(),
                detector,
                Matcher.open(None),
                SystemClock(),
            )
            samples = [s for u in media.units() for s in pipeline.decode(u)] + list(pipeline.drain())
            verdicts = [pipeline.judge(s).verdict for s in samples]
            return [(v.pts_ms, v.action, v.score) for v in verdicts]

    first = replay()
    assert {Action.FLAG, Action.CUT} & {action for _, action, _ in first}
    assert first == replay()


@pytest.mark.parametrize("counted", [False, True])
def test_known_footage_is_cut_when_it_is_filmed_from_a_screen(
    tmp_path: Path, watch: Watch, counted: bool
) -> None:
    """Also where a bank whose matches are only counted has the whole frame."""
    hasher, frames_a_picture = PdqHasher(), 6
    runs = tuple(HashRun(hasher.hash(picture(n)).bits, start_ms=n * 200, span_ms=166) for n in range(15))
    Bank.create(tmp_path / "known").add_footage([Footage(Entry("film", EntryKind.VIDEO), runs)])
    corners = SLANTED["turned to the left"]
    media = encode(
        frames=90,
        size=(360, 640),
        picture=lambda n, height, width: filmed(picture(n // frames_a_picture), corners, height, width),
        options=ZERO_LATENCY,
    )
    if counted:
        info = BankInfo(opinion=BankPurpose.COUNT)
        frames = [hasher.hash(filmed(picture(n), corners, 360, 640)).bits for n in range(15)]
        lent = tuple(HashRun(bits, start_ms=n * 200, span_ms=166) for n, bits in enumerate(frames))
        Bank.create(tmp_path / "lent", info).add_footage([Footage(Entry("lent", EntryKind.VIDEO), lent)])
    watched = watch(media, matcher=Matcher.open(tmp_path)).feed(media.units, end=True)
    cut = next(j.verdict for j in watched.judgements if j.verdict.action is Action.CUT)
    assert cut.reason == "match"
    assert "film" in {signal.entry for signal in cut.signals}
    assert cut.pts_ms < 3000
    seen = {s.bank for j in watched.judgements for s in j.verdict.signals if s.at_most is Action.PASS}
    assert seen == ({"lent"} if counted else set())


def test_footage_that_is_only_counted_is_in_the_verdict_and_changes_nothing(
    tmp_path: Path, watch: Watch
) -> None:
    media = encode(frames=90, size=(360, 640), picture=lambda n, *_: picture(n // 6), options=ZERO_LATENCY)
    runs = [HashRun(PdqHasher().hash(picture(n)).bits, start_ms=n * 200, span_ms=166) for n in range(15)]
    lent = Bank.create(tmp_path / "lent", BankInfo(opinion=BankPurpose.COUNT))
    lent.add_footage([Footage(Entry("film", EntryKind.VIDEO), tuple(runs))])
    plain = watch(media).feed(media.units, end=True)
    watched = watch(media, matcher=Matcher.open(tmp_path)).feed(media.units, end=True)
    found = [j.verdict for j in watched.judgements]
    assert {(s.bank, s.entry) for v in found for s in v.signals if s.at_most is Action.PASS} == {
        ("lent", "film")
    }
    assert not any(j.near_match for j in watched.judgements)
    for one, other in zip(watched.judgements, plain.judgements, strict=True):
        assert (one.verdict.action, one.verdict.cleared_pts_ms, one.tier, one.score) == (
            *(other.verdict.action, other.verdict.cleared_pts_ms, other.tier, other.score),
        )


@pytest.mark.parametrize("alert", [True, False])
def test_any_decoded_frame_may_be_the_one_that_is_matched(watch: Watch, alert: bool) -> None:
    """Footage on two of three frames lies between the usual samples of 30 fps."""

    def shown(number: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        return np.full((height, width), 200 if number % 3 else 30, np.uint8)

    media = encode(frames=600, gop=30, picture=shown, options=ZERO_LATENCY)
    policy = Policy(tiers=TierPolicy(start_alert_ms=0, bitrate_jump=0))

    def bright(seed: bytes | None) -> list[bool]:
        watched = watch(media, policy, alert=alert, seed=seed).feed(media.units)
        assert all(0 <= s.pts_ms - (s.luma_pts_ms or 0) <= 260 for s in watched.samples)
        return [float(sample.luma.mean()) > 100 for sample in watched.samples]

    assert not any(bright(None))
    drawn = bright(b"secret")
    assert 0.4 < sum(drawn) / len(drawn) < 0.9
    assert drawn == bright(b"secret")
    assert drawn != bright(b"other")


def test_without_banks_nothing_is_looked_for(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr("edge.match.stream_matcher.points_of", looked.append)
    media = encode(frames=60, options=ZERO_LATENCY)
    watched = watch(media).feed(media.units, end=True)
    assert len(watched.judgements) >= 5
    assert not looked


def test_a_calm_stream_is_looked_at_between_its_keyframes(watch: Watch) -> None:
    media = encode(frames=1800, gop=60, options=ZERO_LATENCY)
    policy = CALM.model_copy(update={"looks": LookPolicy(new_ms=0)})
    plain, looked = (watch(media, policy, seed=seed).feed(media.units) for seed in (None, b"secret"))
    assert {time % 2000 for time in plain.times} == {200}
    mid_gop = [time for time in looked.times if time % 2000 > 240]
    assert 4 <= len(mid_gop) <= 7
    assert len({time % 2000 // 200 for time in mid_gop}) >= 3
    assert looked.pipeline.counters.errors == {}
    decoded = looked.pipeline.counters.decoded - plain.pipeline.counters.decoded
    assert abs(decoded - sum(time % 2000 - 200 for time in mid_gop) * 30 / 1000) < 60
    again = watch(media, policy, seed=b"secret").feed(media.units)
    assert again.times == looked.times


@pytest.mark.parametrize("b_frames", [0, 3])
def test_a_look_shows_the_frame_that_full_decoding_shows(b_frames: int, watch: Watch) -> None:
    """Frames that nothing refers to are left out on the way, and none of the look's own."""
    media = encode(frames=1200, gop=60, b_frames=b_frames, in_band=True)
    policy = CALM.model_copy(update={"looks": LookPolicy(new_ms=0, low_ms=2000)})
    watched = watch(media, policy, seed=b"secret").feed(media.units)
    decoder, scaler = Decoder(media.codec), PlaneScaler(64, 64)
    planes = {f.pts: scaler.plane(f) for u in media.units for f in decoder.decode(u)}
    looks = [i for i, s in enumerate(watched.samples) if s.pts_ms % 2000 > 320]
    assert len(looks) >= 10
    assert watched.pipeline.counters.errors == {}
    for index in looks:
        sample, seen = watched.samples[index], watched.detector.planes[index]
        assert np.array_equal(seen[2], planes[sample.pts_ms])
        near = [plane for t, plane in planes.items() if t and 60 <= sample.pts_ms - t <= 260]
        assert any(np.array_equal(seen[0], plane) for plane in near)


@pytest.mark.parametrize("fps", [10, 15, 30])
def test_a_caller_is_asked_for_the_media_of_a_look(fps: int, watch: Watch) -> None:
    """A caller leaves out what is not needed, and the look still comes."""
    media = encode(frames=20 * fps, fps=fps, gop=2 * fps, options=ZERO_LATENCY)
    policy = CALM.model_copy(update={"looks": LookPolicy(new_ms=0, low_ms=2000)})
    watched = watch(media, policy, seed=b"secret")
    keyframe_ms = sent = 0
    for unit in media.units:
        keyframe_ms = unit.pts_ms if unit.keyframe else keyframe_ms
        needed_ms = watched.pipeline.needed_after_keyframe_ms
        if needed_ms is None or unit.pts_ms - keyframe_ms <= needed_ms:
            watched.feed([unit])
            sent += 1
    assert sum(time % 2000 > 240 for time in watched.times) >= 4
    assert sent < 0.9 * len(media.units)
    assert watched.pipeline.counters.errors == {}


def test_a_look_waits_while_the_worker_is_late(media: EncodedMedia, watch: Watch) -> None:
    policy = CALM.model_copy(update={"looks": LookPolicy(new_ms=0, low_ms=2000)})
    watched = watch(media, policy, seed=b"secret")
    watched.pipeline.let_look(False)
    watched.feed(media.units)
    assert all(time % 2000 <= 240 for time in watched.times)


def test_a_category_that_is_switched_off_costs_no_inference(media: EncodedMedia, watch: Watch) -> None:
    off = Policy(categories={"fight": CategoryPolicy(enabled=False)})
    watched = watch(media, policy=off, score_at=lambda pts: 1.0).feed(media.units)
    assert watched.judgements
    assert {judgement.verdict.action for judgement in watched.judgements} == {Action.PASS}
    assert watched.detector.planes == []
