"""A worker's evidence: from media that it is sent, without decoding any of it."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from edge.clock import ManualClock
from edge.contract.gate import access_unit_to_proto
from edge.contract.gen import worker_pb2
from edge.detect.double import ScriptedDetector
from edge.domain import StreamId
from edge.match import Matcher
from edge.policy import Policy
from edge.stream import StreamPipeline
from edge.stream.synthetic import EncodedMedia, encode
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.evidence_writer import EvidenceWriter
from edge.workers.worker_stream import WorkerStream

SIZE = (96, 128)


@pytest.fixture(scope="module")
def media() -> EncodedMedia:
    return encode(frames=20, gop=10, size=SIZE)


@pytest.fixture
def current() -> Iterator[CurrentStreamPage]:
    descriptor = CurrentStreamPage.create()
    page = CurrentStreamPage(descriptor)
    os.close(descriptor)
    yield page
    page.close()


class Desk:
    """A writer of evidence, and the results of its requests."""

    def __init__(self, current: CurrentStreamPage, directory: Path) -> None:
        self.saved: list[worker_pb2.EvidenceSaved] = []
        self.evidence = EvidenceWriter(lambda event: self.saved.append(event.evidence_saved), current)
        self._directory = directory

    def show(self, media: EncodedMedia, codec: str = "h264") -> None:
        self.evidence.show(
            worker_pb2.EvidenceMedia(
                stream_id="st",
                codec=codec,
                extradata=media.extradata,
                units=[access_unit_to_proto(unit) for unit in media.units],
                first=True,
            )
        )

    def save(self, stream: WorkerStream | None = None) -> worker_pb2.EvidenceSaved:
        command = worker_pb2.SaveEvidence(
            stream_id="st", incident_id=f"in_{len(self.saved)}", directory=str(self._directory)
        )
        self.evidence.save(command, stream)
        self.evidence.finish()
        return self.saved[-1]


def watched(media: EncodedMedia) -> WorkerStream:
    stream = WorkerStream("st", 1, Policy(), alert=False)
    stream.pipeline = StreamPipeline(
        StreamId("st"),
        media.codec,
        media.extradata,
        stream.policy,
        ScriptedDetector(),
        Matcher.open(None),
        ManualClock(),
    )
    for unit in media.units:
        stream.pipeline.decode(unit)
    return stream


def header_size(path: str) -> tuple[int, int]:
    """Height and width from the header (ISO/IEC 14496-12, 8.3.2), not from the media."""
    raw = Path(path).read_bytes()
    end = raw.index(b"tkhd") - 4 + struct.unpack_from(">I", raw, raw.index(b"tkhd") - 4)[0]
    width, height = struct.unpack_from(">II", raw, end - 8)
    return height >> 16, width >> 16


def frames(path: str) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def test_frames_have_the_size_that_the_worker_saw_also_when_the_stream_is_gone(
    media: EncodedMedia, current: CurrentStreamPage, tmp_path: Path
) -> None:
    desk, stream = Desk(current, tmp_path), watched(media)
    for gone in (False, True):
        desk.show(media)
        saved = desk.save(None if gone else stream)
        assert header_size(saved.path) == SIZE
        assert frames(saved.path) == 20
        desk.evidence.gone(stream)


def test_what_no_decoder_here_has_seen_none_sees_for_the_evidence(
    media: EncodedMedia, current: CurrentStreamPage, tmp_path: Path
) -> None:
    """A third worker gets the media of a stream that has ended two workers."""
    desk = Desk(current, tmp_path)
    desk.show(media)
    saved = desk.save()
    assert header_size(saved.path) == (2, 2)
    assert frames(saved.path) == 20


def test_a_codec_that_there_is_not_and_a_thread_that_cannot_be_started_are_answered(
    media: EncodedMedia, current: CurrentStreamPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(current, tmp_path)
    desk.show(media, codec="vp6\n")
    assert "no media" in desk.save().error

    def at_the_limit(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", at_the_limit)
    desk.show(media)
    assert "thread" in desk.save().error
    monkeypatch.undo()
    desk.show(media)
    assert desk.save().path
