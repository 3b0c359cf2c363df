"""Enhanced RTMP from FFmpeg's own muxer: the other codecs reach the gate unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from edge.ingest import Closed
from edge.stream.synthetic import in_child, open_encoder

if TYPE_CHECKING:
    from tests.ingest.conftest import ScriptedGate, StartIngest, StartPublisher


def write_footage(path: Path, encoder: str) -> None:
    with av.open(str(path), "w", format="flv") as out:
        stream = out.add_stream(encoder, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.gop_size = 10
        open_encoder(stream.codec_context)
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((180, 160), index * 5, np.uint8), format="yuv420p")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("encoder", "codec"), [("libx265", "hevc"), ("libvpx-vp9", "vp9"), ("libsvtav1", "av1")]
)
async def test_the_gate_can_decode_what_was_published(
    gate: ScriptedGate,
    run_ingest: StartIngest,
    publish: StartPublisher,
    tmp_path: Path,
    encoder: str,
    codec: str,
) -> None:
    path = tmp_path / "footage.flv"
    in_child(write_footage, path, encoder)
    running = await run_ingest()
    publisher = publish(path, running.url())
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert not publisher.error
    [opened] = gate.opens
    assert opened.codec == codec

    # FFmpeg's own AV1 decoder needs hardware.
    decoder = av.CodecContext.create({"av1": "libdav1d"}.get(codec, codec), "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = opened.extradata
    pictures = []
    for unit in gate.units:
        packet = av.Packet(unit.data)
        packet.pts, packet.dts = unit.pts_ms, unit.dts_ms
        pictures += decoder.decode(packet)
    pictures += decoder.decode(None)
    stamps = [picture.pts or 0 for picture in pictures]
    assert stamps == [stamps[0] + index * 40 for index in range(30)]
    assert gate.units[0].keyframe
