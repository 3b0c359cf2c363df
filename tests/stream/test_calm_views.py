"""Which pictures of a stream are to be remembered as passed: calm ones, one every two seconds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edge.match import LEAST_PAUSE_MS, PdqHasher
from edge.match.pdq.hasher import LIMITED_RANGE
from edge.stream.synthetic import encode
from tests.stream.conftest import Watch


def noise(index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    blocks = np.random.default_rng(index // 5).integers(30, 230, (height // 8, width // 8))
    return np.kron(blocks, np.ones((8, 8))).astype(np.uint8)


def test_a_calm_stream_gives_a_picture_every_two_seconds(watch: Watch) -> None:
    media = encode(frames=300, fps=30, gop=30, picture=noise)
    watched = watch(media).feed(media.units, end=True)
    hasher = PdqHasher(contrast=LIMITED_RANGE)
    seen = [
        (sample, judgement.calm_view)
        for sample, judgement in zip(watched.samples, watched.judgements, strict=True)
        if judgement.calm_view
    ]
    assert 4 <= len(seen) <= 5
    assert all(later[0].pts_ms - one[0].pts_ms >= LEAST_PAUSE_MS for one, later in pairwise(seen))
    assert all(hasher.hash(sample.luma).bits == view for sample, view in seen)


def test_what_is_suspicious_or_shows_nothing_is_not_remembered(watch: Watch) -> None:
    media = encode(frames=300, fps=30, gop=30, picture=noise)
    raised = watch(media, score_at=lambda pts_ms: 0.3 if pts_ms >= 4000 else 0.0).feed(media.units, end=True)
    times = [
        sample.pts_ms
        for sample, judgement in zip(raised.samples, raised.judgements, strict=True)
        if judgement.calm_view
    ]
    assert times
    assert max(times) < 4000
    black = encode(frames=90, fps=30, gop=30, picture=lambda index, h, w: np.full((h, w), 16, np.uint8))
    assert not any(one.calm_view for one in watch(black).feed(black.units, end=True).judgements)
