"""A publisher process: ``rtmp_publisher.py URL video FRAMES`` or ``URL audio SECONDS``.

FFmpeg holds the GIL in the handshake of the writing side, so it cannot share a process with the listener.
"""

from __future__ import annotations

import contextlib
import sys
import time
from fractions import Fraction

import av

from edge.stream.synthetic import moving_square


def connected(url: str) -> av.container.OutputContainer:
    """Connects once somebody listens."""
    for _ in range(200):
        with contextlib.suppress(av.FFmpegError, OSError):
            return av.open(url, "w", format="flv")
        time.sleep(0.05)
    raise SystemExit("nobody listens")


def video(url: str, frames: int) -> None:
    with connected(url) as container:
        options = {"preset": "ultrafast", "tune": "zerolatency"}
        stream = container.add_stream("libx264", rate=30, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 128, 96, "yuv420p", 10
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(moving_square(index, 96, 128), format="gray")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def audio(url: str, seconds: int) -> None:
    with connected(url) as container:
        stream = container.add_stream("aac", rate=44_100)
        assert isinstance(stream, av.AudioStream)
        for index in range(seconds * 43):
            silence = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            for plane in silence.planes:
                plane.update(bytes(plane.buffer_size))
            silence.sample_rate, silence.pts = 44_100, index * 1024
            silence.time_base = Fraction(1, 44_100)
            container.mux(stream.encode(silence))
            time.sleep(1024 / 44_100)


if __name__ == "__main__":
    with contextlib.suppress(av.FFmpegError, OSError):
        {"video": video, "audio": audio}[sys.argv[2]](sys.argv[1], int(sys.argv[3]))
