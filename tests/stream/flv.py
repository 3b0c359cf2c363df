"""FLV as a publisher sends it, with its own configuration records, and a server to pull it from."""

from __future__ import annotations

import contextlib
import http.server
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av

from edge.domain import Codec
from edge.stream.synthetic import in_child, moving_square, open_encoder

_HEADER_BYTES = 13
_VIDEO = 9
_FPS = 30
_ENCODERS = {
    Codec.H264: ("libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
    Codec.HEVC: ("libx265", {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"}),
    Codec.AV1: ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:lookahead=0"}),
}


@dataclass(frozen=True, slots=True)
class Tag:
    kind: int
    time_ms: int
    body: bytes

    def written(self, offset_ms: int) -> bytes:
        time = (self.time_ms + offset_ms).to_bytes(4, "big")
        head = bytes([self.kind]) + len(self.body).to_bytes(3, "big") + time[1:] + time[:1] + bytes(3)
        return head + self.body + (len(self.body) + 11).to_bytes(4, "big")


@cache
def published(
    codec: Codec,
    size: tuple[int, int],
    *,
    frames: int = 60,
    gop: int = 30,
    options: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """A whole FLV of frames of ``size`` (height, width) at 30 fps, encoded once."""
    if codec is Codec.AV1:
        return in_child(_published, codec, size, frames, gop, options)
    return _published(codec, size, frames, gop, options)


def _published(
    codec: Codec, size: tuple[int, int], frames: int, gop: int, options: tuple[tuple[str, str], ...]
) -> bytes:
    name, defaults = _ENCODERS[codec]
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as container:
        stream = container.add_stream(name, rate=_FPS, options={**defaults, **dict(options)})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        open_encoder(stream.codec_context)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(moving_square(index, *size), format="gray")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, _FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def joined(*parts: bytes) -> bytes:
    """One publish. Each part continues the time of the one before and has its own record."""
    written = [parts[0][:_HEADER_BYTES]]
    offset_ms = 0
    for part in parts:
        tags = [tag for tag in _tags(part) if tag.kind == _VIDEO and not _ends(tag)]
        written += [tag.written(offset_ms) for tag in tags]
        offset_ms += max(tag.time_ms for tag in tags) + round(1000 / _FPS)
    return b"".join(written)


def _tags(data: bytes) -> Iterator[Tag]:
    at = _HEADER_BYTES
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        time_ms = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        yield Tag(data[at], time_ms, data[at + 11 : at + 11 + size])
        at += 11 + size + 4


def _ends(tag: Tag) -> bool:
    """Whether the tag ends a sequence. A publisher that goes on sends no such tag."""
    return tag.body[0] & 0x0F == 2 if tag.body[0] & 0x80 else tag.body[1] == 2


@contextlib.contextmanager
def served(data: bytes) -> Iterator[str]:
    """Serves the FLV and returns its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/stream.flv"
        finally:
            server.shutdown()
            thread.join()
