"""A model swap in a running stream: when the new model takes over, and that no sample is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.detect.double import ScriptedDetector
from edge.domain import Action
from edge.policy import BeliefPolicy, CategoryPolicy, Policy, TierPolicy
from edge.stream.pipeline import MODEL_WAIT_MS
from edge.stream.synthetic import EncodedMedia, encode

if TYPE_CHECKING:
    from tests.stream.conftest import Watch, Watched

CALM = Policy(tiers=TierPolicy(start_alert_ms=0))
ALERT = Policy(tiers=TierPolicy(start_alert_ms=100_000))
NEW = "1" * 64


@pytest.fixture(scope="module", params=[0, 2], ids=["in order", "reordered"])
def media(request: pytest.FixtureRequest) -> EncodedMedia:
    """16 s at 30 fps, GOP 2 s."""
    return encode(frames=480, gop=60, b_frames=request.param)


def change(watched: Watched, media: EncodedMedia, at_ms: int, detector: ScriptedDetector) -> list[int]:
    """Feeds everything and swaps the model on the way. Returns the times that the new model judged."""
    units = [unit for unit in media.units if unit.pts_ms < at_ms]
    watched.feed(units)
    watched.pipeline.set_detector(detector)
    watched.feed(media.units[len(units) :], end=True)
    digests = [judgement.verdict.model_digest for judgement in watched.judgements]
    assert digests == sorted(digests)  # The old model's times, then the new one's.
    assert len(watched.detector.planes) + len(detector.planes) == len(watched.samples)
    assert watched.pipeline.counters.errors == {}
    return [j.verdict.pts_ms for j in watched.judgements if j.verdict.model_digest == NEW]


@pytest.mark.parametrize("policy", [CALM, ALERT], ids=["calm", "alert"])
def test_the_same_planes_serve_both(media: EncodedMedia, watch: Watch, policy: Policy) -> None:
    unchanged = watch(media, policy).feed(media.units, end=True)
    watched = watch(media, policy)
    judged = change(watched, media, 5_100, ScriptedDetector(digest=NEW))
    assert watched.times == unchanged.times
    assert 5_000 <= judged[0] <= 6_500


@pytest.mark.parametrize("policy", [CALM, ALERT], ids=["calm", "alert"])
@pytest.mark.parametrize("other", [{"input_size": (32, 48)}, {"delta_ms": 60}], ids=["size", "delta"])
def test_other_planes_begin_with_a_keyframe(
    media: EncodedMedia, watch: Watch, policy: Policy, other: dict[str, object]
) -> None:
    detector = ScriptedDetector(digest=NEW, **other)  # type: ignore[arg-type]
    watched = watch(media, policy)
    judged = change(watched, media, 5_100, detector)
    assert 6_000 + 2 * detector.delta_ms <= judged[0] <= 6_600
    gaps = [later - earlier for earlier, later in zip(watched.times, watched.times[1:], strict=False)]
    assert max(gaps) <= (2_100 if policy is CALM else 600)
    assert all(planes.shape == (3, *detector.input_size) for planes in detector.planes)


def test_a_suspected_stream_is_judged_on_by_the_old_one(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, ALERT, score_at=lambda pts: 0.3 if pts < 9_000 else 0.0)
    judged = change(watched, media, 5_100, ScriptedDetector(digest=NEW))
    assert 9_000 <= judged[0] <= 9_500


def test_suspicion_does_not_keep_the_old_one_for_good(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, ALERT, score_at=lambda pts: 0.3)
    judged = change(watched, media, 3_000, ScriptedDetector(lambda pts: 0.3, digest=NEW))
    assert 3_000 + MODEL_WAIT_MS <= judged[0] <= 3_500 + MODEL_WAIT_MS


def test_beliefs_go_on_over_the_change(media: EncodedMedia, watch: Watch) -> None:
    """The windows of both models make up the belief. Those of the new one alone would not reach it."""
    slow = BeliefPolicy(neutral_ms=5_000, fade_ms=60_000)
    part = CategoryPolicy(flag_at=0.82, cut_at=0.82, belief=slow)
    policy = ALERT.model_copy(update={"categories": {"fight": part}})
    watched = watch(media, policy, score_at=lambda pts: 0.95, samples=10)
    judged = change(watched, media, 3_000, ScriptedDetector(lambda pts: 0.95, digest=NEW, samples=10))
    [cut] = [j.verdict for j in watched.judgements if j.verdict.action is Action.CUT]
    assert cut.model_digest == NEW
    assert judged[0] < cut.pts_ms < judged[0] + 3_000
