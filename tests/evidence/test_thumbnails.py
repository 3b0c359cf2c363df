"""Frames of live streams come from one contained process, which a hostile keyframe cannot keep down."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import AsyncIterator

import av
import pytest

from edge.containment import ContainmentMode
from edge.domain import Codec
from edge.errors import BrokenMedia
from edge.evidence.contained_thumbnails import ThumbnailProcess
from edge.evidence.thumbnail_messages import Keyframe
from edge.stream import FrameSizeLimit
from edge.stream.synthetic import encode


@pytest.fixture
async def process() -> AsyncIterator[ThumbnailProcess]:
    running = ThumbnailProcess(ContainmentMode.TRY, FrameSizeLimit(640, 360))
    yield running
    await running.stop()
    assert running.pid is None


def keyframe(codec: Codec = Codec.H264, size: tuple[int, int] = (240, 426)) -> Keyframe:
    media = encode(codec, frames=2, gop=2, size=size)
    return Keyframe(codec.value, media.extradata, media.units[0].data)


async def test_one_process_makes_small_jpegs_of_every_codec(process: ThumbnailProcess) -> None:
    pids = set()
    for codec in Codec:
        jpeg = await process.picture(keyframe(codec))
        pids.add(process.pid)
        with av.open(io.BytesIO(jpeg), "r") as picture:
            assert next(picture.decode(video=0)).width == 320
    assert len(pids) == 1


async def test_what_has_no_frame_is_said_and_the_next_one_comes(process: ThumbnailProcess) -> None:
    await process.picture(keyframe())
    pid = process.pid
    for wrong in (
        Keyframe("h264", b"", b"\0\0\0\1garbage"),
        Keyframe("theora", b"", b"x"),
        Keyframe("h264", b"\x01\x02", b"x"),
        keyframe(size=(720, 1280)),
    ):
        with pytest.raises(BrokenMedia):
            await process.picture(wrong)
    assert await process.picture(keyframe())
    assert process.pid == pid, "an error ends nothing"


async def test_a_process_that_crashes_starts_anew(process: ThumbnailProcess) -> None:
    await process.picture(keyframe())
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGSEGV)
    with contextlib.suppress(BrokenMedia):  # or the gate has seen its end before
        await process.picture(keyframe())
    assert await process.picture(keyframe())
    assert process.pid != first
