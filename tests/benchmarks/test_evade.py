"""The streams that hide known footage, and what is reported of them."""

from __future__ import annotations

from itertools import islice, pairwise

import av
import numpy as np
import pytest

from benchmarks._hidden_footage import HEIGHT, LEAD_MS, PATTERN_MS, PATTERNS, WIDTH, hidden_stream
from benchmarks.evade import SITUATIONS, report


def flat(value: int) -> av.VideoFrame:
    gray = np.full((HEIGHT, WIDTH), value, np.uint8)
    return av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p")


@pytest.mark.parametrize("name", ["gop_odd", "fps_10"])
def test_known_footage_is_on_screen_in_its_pattern_and_no_size_tells(name: str) -> None:
    pattern = PATTERNS[name]
    hidden = hidden_stream(pattern, [flat(30)], [flat(200)])
    sizes = {len(unit.data) for unit in hidden.units}
    assert max(sizes) - min(sizes) <= 8
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = hidden.extradata
    for number, unit in enumerate(hidden.units):
        packet = av.Packet(unit.data)
        packet.pts = unit.pts_ms
        for frame in decoder.decode(packet):
            place = number - LEAD_MS * pattern.fps // 1000
            shown = place >= 0 and pattern.shown(place, unit.pts_ms - LEAD_MS)
            assert (frame.to_ndarray(format="gray").mean() > 100) == shown, unit.pts_ms
    at_ms, starts = LEAD_MS, []
    while at_ms < LEAD_MS + PATTERN_MS:
        for length_ms in pattern.gops_ms:
            starts.append(at_ms)
            at_ms += length_ms
    assert [unit.pts_ms for unit in hidden.units[hidden.begin :] if unit.keyframe] == starts
    laps = list(islice(hidden.endless(), 2 * len(hidden.units)))
    assert all(after.dts_ms > before.dts_ms for before, after in pairwise(laps))


def test_half_of_the_time_or_more_is_shown() -> None:
    for pattern in PATTERNS.values():
        frames = range(PATTERN_MS * pattern.fps // 1000)
        shown = sum(pattern.shown(n, round(n * 1000 / pattern.fps)) for n in frames)
        assert 0.46 <= shown / len(frames) <= 0.75


def test_a_stream_that_is_not_cut_counts_with_its_limit() -> None:
    situation = SITUATIONS["idle"]
    figures = report(situation, {"a": [1.0, None], "b": [2.0, 3.0]}, {"b-2": "QUOTA"})
    assert figures["not_cut"] == ["a"]
    assert figures["time_to_cut_s"]["max"] == situation.limit_s
    assert figures["patterns"]["b"]["max"] == 3.0
