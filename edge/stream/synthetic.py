"""Encodes synthetic streams: the double of an ingest server for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, ParamSpec, TypeVar

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from edge.domain import AccessUnit, Codec

_ENCODERS: Final = {
    Codec.H264: ("libx264", {"preset": "ultrafast", "sc_threshold": "0"}),
    Codec.HEVC: ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:scenecut=0"}),
    Codec.VP9: ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    Codec.AV1: ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:lookahead=0"}),
}

_ENCODE_S: Final = 15.0
_TRIES: Final = 5
_CHILD: Final = "from edge.stream.synthetic import answer_parent; answer_parent()"

Picture = Callable[[int, int, int], npt.NDArray[np.uint8]]
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class EncodedMedia:
    """A stream as an ingest server has it. ``extradata`` is empty for in-band parameter sets."""

    codec: Codec
    extradata: bytes
    units: tuple[AccessUnit, ...]


def moving_square(index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Returns luma, uint8 ``(h, w)``: a bright square that crosses a gradient, one step per frame."""
    luma = np.broadcast_to(np.linspace(16, 160, width, dtype=np.uint8), (height, width)).copy()
    side = max(height // 4, 2)
    left = (index * max(width // 40, 1)) % max(width - side, 1)
    luma[height // 3 : height // 3 + side, left : left + side] = 235
    return luma


def open_encoder(context: av.VideoCodecContext) -> None:
    """Opens an encoder and restores the scheduling priority of this process.

    Under root, libsvtav1 sets its own threads and the opening thread to ``SCHED_FIFO`` 99. These threads
    and all that they start would run before everything else on the machine.
    """
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _tasks()
    context.open()
    for task in (_tasks() - before) | {threading.get_native_id()}:
        with contextlib.suppress(ProcessLookupError):  # the thread has ended meanwhile
            os.sched_setscheduler(task, policy, param)


def _tasks() -> set[int]:
    """Returns the kernel ids of this process's threads."""
    return {int(task) for task in os.listdir("/proc/self/task")}


def encode(
    codec: Codec = Codec.H264,
    *,
    frames: int = 60,
    fps: int = 30,
    gop: int = 30,
    size: tuple[int, int] = (96, 128),
    b_frames: int = 0,
    pix_fmt: str = "yuv420p",
    in_band: bool = False,
    start_ms: int = 0,
    picture: Picture = moving_square,
    options: dict[str, str] | None = None,
) -> EncodedMedia:
    """Encodes synthetic frames of ``size`` (height, width).

    With ``in_band`` each keyframe carries the parameter sets, and there is no extradata (Annex B).
    ``options`` are added to the fast defaults of the encoder.

    AV1 is encoded in a child (``in_child``).
    """
    if codec is Codec.AV1:
        shown = _DrawnFrames(tuple(picture(index, *size) for index in range(frames)))
        return in_child(
            _encode, codec, frames, fps, gop, size, b_frames, pix_fmt, in_band, start_ms, shown, options
        )
    return _encode(codec, frames, fps, gop, size, b_frames, pix_fmt, in_band, start_ms, picture, options)


@dataclass(frozen=True, slots=True)
class _DrawnFrames:
    """Frames that are drawn already, for another process."""

    pictures: tuple[npt.NDArray[np.uint8], ...]

    def __call__(self, index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        return self.pictures[index]


def in_child(make: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
    """Calls a function of a module in a process of its own, again if it hangs. Raises TimeoutError.

    In low delay, libsvtav1 waits for its own output for ever about once in some thousand encodes.
    """
    asked = pickle.dumps((make, given, named))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for _ in range(_TRIES):
        with contextlib.suppress(subprocess.TimeoutExpired):
            answer = subprocess.run(
                [sys.executable, "-c", _CHILD],
                input=asked,
                stdout=subprocess.PIPE,
                timeout=_ENCODE_S,
                check=True,
                env=environment,
            )
            made: R = pickle.loads(answer.stdout)
            return made
    raise TimeoutError(f"the encoder has hung {_TRIES} times for {_ENCODE_S} s")


def answer_parent() -> None:
    """The child of ``in_child``."""
    make, given, named = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(make(*given, **named)))


def _encode(
    codec: Codec,
    frames: int,
    fps: int,
    gop: int,
    size: tuple[int, int],
    b_frames: int,
    pix_fmt: str,
    in_band: bool,
    start_ms: int,
    picture: Picture,
    options: dict[str, str] | None,
) -> EncodedMedia:
    name, defaults = _ENCODERS[codec]
    height, width = size
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = width, height
    context.pix_fmt = pix_fmt
    context.framerate = Fraction(fps)
    context.time_base = Fraction(1, 1000)
    context.gop_size = gop
    context.thread_count = 1
    if codec in (Codec.H264, Codec.HEVC):
        context.max_b_frames = b_frames
    if not in_band:
        context.flags |= av.codec.context.Flags.global_header
    context.options = {**defaults, **(options or {})}
    open_encoder(context)
    packets = []
    for index in range(frames):
        frame = _frame(picture(index, height, width), pix_fmt)
        frame.pts, frame.time_base = round(index * 1000 / fps), Fraction(1, 1000)
        packets += context.encode(frame)
    packets += context.encode(None)
    delay_ms = min((p.dts for p in packets if p.dts is not None), default=0)
    units = tuple(
        AccessUnit(
            pts_ms=start_ms + (p.pts or 0) - delay_ms,
            dts_ms=start_ms + (p.dts if p.dts is not None else p.pts or 0) - delay_ms,
            keyframe=p.is_keyframe,
            data=bytes(p),
            arrival_ms=0.0,
        )
        for p in packets
    )
    return EncodedMedia(codec, b"" if in_band else context.extradata or b"", units)


def _frame(luma: npt.NDArray[np.uint8], pix_fmt: str) -> VideoFrame:
    gray = VideoFrame.from_ndarray(luma, format="gray")
    return gray.reformat(format=pix_fmt)
