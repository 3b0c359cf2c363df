"""The GOP outside the worker is a prefix of the running GOP, or nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.api.gen import gate_pb2, worker_pb2
from edge.supervise.gop import Gop


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=60))
def test_it_begins_with_a_keyframe_and_keeps_its_bounds(units: list[tuple[bool, int]]) -> None:
    gop = Gop(max_bytes=200, max_units=12)
    since_keyframe: list[int] | None = None
    for number, (keyframe, size) in enumerate(units):
        unit = gate_pb2.AccessUnit(pts_ms=number, keyframe=keyframe, data=bytes(size))
        gop.add(worker_pb2.Media(unit=unit))
        if keyframe:
            since_keyframe = []
        if since_keyframe is not None:
            since_keyframe.append(number)
        kept = gop.units()
        assert len(kept) <= 12
        assert sum(len(media.unit.data) for media in kept) <= 200
        if kept:
            assert kept[0].unit.keyframe
            assert [media.unit.pts_ms for media in kept] == since_keyframe
