"""Which frames of a stream are to be remembered as passed: calm ones, one a second."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edge.match import LEAST_PAUSE_MS, PdqHasher
from edge.match.pdq.hasher import LIMITED_RANGE
from edge.stream.calm_views import MOST_WAITING, CalmViews
from edge.stream.synthetic import encode
from tests.stream.conftest import Watch, Watched


def noise(index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    blocks = np.random.default_rng(index // 5).integers(30, 230, (height // 8, width // 8))
    return np.kron(blocks, np.ones((8, 8))).astype(np.uint8)


def test_a_calm_stream_gives_a_frame_a_second(watch: Watch) -> None:
    media = encode(frames=300, fps=30, gop=30, picture=noise)
    watched = watch(media).feed(media.units, end=True)
    hasher = PdqHasher(contrast=LIMITED_RANGE)
    seen = [
        (sample, view)
        for sample, judgement in zip(watched.samples, watched.judgements, strict=True)
        for view in judgement.calm_views
    ]
    assert 8 <= len(seen) <= 10
    assert all(
        view.pts_ms == sample.pts_ms and hasher.hash(sample.luma).bits == view.bits for sample, view in seen
    )
    for (_, one), (_, later) in pairwise(seen):
        assert later.unseen_ms == later.pts_ms - one.pts_ms >= LEAST_PAUSE_MS


def times_of(watched: Watched) -> list[int]:
    return [view.pts_ms for judgement in watched.judgements for view in judgement.calm_views]


def test_what_is_suspicious_or_shows_nothing_is_not_remembered(watch: Watch) -> None:
    media = encode(frames=300, fps=30, gop=30, picture=noise)
    raised = watch(media, score_at=lambda pts_ms: 0.3 if pts_ms >= 4000 else 0.0).feed(media.units, end=True)
    assert times_of(raised)
    assert max(times_of(raised)) < 4000
    black = encode(frames=90, fps=30, gop=30, picture=lambda index, h, w: np.full((h, w), 16, np.uint8))
    assert not any(one.calm_views for one in watch(black).feed(black.units, end=True).judgements)


def test_what_was_suspicious_for_a_while_and_then_passed_is_remembered(watch: Watch) -> None:
    """Whoever confirms the same footage on another stream must not make it known."""
    media = encode(frames=300, fps=30, gop=30, picture=noise)
    score_at = lambda pts_ms: 0.3 if 3000 <= pts_ms < 6000 else 0.0  # noqa: E731
    released = times_of(watch(media, score_at=score_at).feed(media.units, end=True))
    assert sum(3000 <= pts_ms < 6000 for pts_ms in released) >= 2


def test_what_led_to_a_verdict_was_not_passed_and_nobody_seems_to_have_overlooked_it() -> None:
    views, convicted = CalmViews(), list[int]()

    def shown(pts_ms: int, *, passes: bool = True, suspicious: bool = False) -> list[tuple[int, int]]:
        assert views.due(pts_ms)
        views.add_view(bytes(32), pts_ms)
        judged = views.judged(passes=passes, suspicious=suspicious)
        convicted.extend(view.pts_ms for view in judged if not view.passed)
        return [(view.pts_ms, view.unseen_ms) for view in judged if view.passed]

    assert shown(0) == [(0, 0)]
    assert shown(1000, suspicious=True) == []
    assert shown(2000, suspicious=True, passes=False) == []
    assert shown(3000, suspicious=True) == []
    assert shown(4000) == [], "the suspicion ends with it"
    assert convicted == [1000, 2000, 3000, 4000]
    assert shown(5000) == [(5000, 1000)]
    assert shown(6000, suspicious=True) == []
    assert shown(7000) == [(6000, 1000), (7000, 1000)]
    assert not views.due(7999)
    assert views.due(6999), "media time has gone back"
    for second in range(8, 8 + 2 * MOST_WAITING):
        assert shown(1000 * second, suspicious=True) == []
    assert len(shown(10**6)) == MOST_WAITING
