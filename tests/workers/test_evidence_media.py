"""Media sent to a worker for evidence is kept within bounds."""

from __future__ import annotations

import pytest

from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import Codec
from edge.workers.evidence_media import EvidenceMedia


def part(stream_id: str, *sizes: int, first: bool = False) -> worker_pb2.EvidenceMedia:
    units = [
        gate_pb2.AccessUnit(pts_ms=n, dts_ms=n, keyframe=n == 0, data=bytes(size))
        for n, size in enumerate(sizes)
    ]
    return worker_pb2.EvidenceMedia(
        stream_id=stream_id, codec="h264", extradata=b"x", first=first, units=units
    )


def test_parts_come_together_and_are_taken_once() -> None:
    shown = EvidenceMedia()
    shown.add_media(part("a", 10, 20, first=True))
    shown.add_media(part("b", 5, first=True))
    shown.add_media(part("a", 30))
    media = shown.take("a")
    assert media is not None
    assert (media.codec, media.extradata) == (Codec.H264, b"x")
    assert [len(unit.data) for unit in media.units] == [10, 20, 30]
    assert shown.take("a") is None
    assert shown.take("b") is not None


def test_what_is_shown_anew_takes_the_place_of_what_was() -> None:
    shown = EvidenceMedia()
    shown.add_media(part("a", 10, 20, first=True))
    shown.add_media(part("a", 7, first=True))
    media = shown.take("a")
    assert media is not None
    assert [len(unit.data) for unit in media.units] == [7]


def test_the_oldest_give_way_and_their_rest_is_not_taken_for_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.workers.evidence_media._MAX_BYTES", 100)
    shown = EvidenceMedia()
    for name in "abc":
        shown.add_media(part(name, 40, first=True))
    shown.add_media(part("a", 5))
    assert shown.take("a") is None
    assert shown.take("b") is not None
    shown.add_media(part("d", 60, first=True))
    assert shown.take("c") is not None
    assert shown.take("d") is not None


def test_a_single_stream_of_any_size_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.workers.evidence_media._MAX_BYTES", 100)
    shown = EvidenceMedia()
    shown.add_media(part("a", 400, first=True))
    shown.add_media(part("a", 400))
    media = shown.take("a")
    assert media is not None
    assert len(media.units) == 2
