"""Streams that show known footage part of the time, as a publisher does who knows how the gate samples.

Each begins with calm footage. Then calm and known footage alternate in a pattern, again and again. Except in
one, every unit is filled up to the same size, so that the bitrate says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType

from edge.domain import AccessUnit

WIDTH, HEIGHT = 640, 360
LEAD_MS = 6_000
"""Calm footage at the start, which is longer than a new stream is sampled densely."""
PATTERN_MS = 20_000
_FILLER = b"\x0c"
"""NAL unit of type 12: filler data (H.264, 7.3.2.7)."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """When known footage is on screen, and how it is encoded. Times count from the end of the calm start."""

    shown: Callable[[int, int], bool]
    """Whether the frame of this number, at this time in milliseconds, shows it."""
    fps: int = 30
    gops_ms: tuple[int, ...] = (2000,)
    """Lengths of the GOPs, one after the other. Together they divide ``PATTERN_MS``."""
    filled: bool = True


def _late_half(gop_ms: int) -> Callable[[int, int], bool]:
    return lambda number, at_ms: at_ms % gop_ms >= gop_ms / 2


def _odd_gops(number: int, at_ms: int) -> bool:
    at_ms %= sum(_ODD)
    for length_ms in _ODD:
        if at_ms < length_ms:
            return at_ms >= length_ms / 2
        at_ms -= length_ms
    raise AssertionError


_ODD = (400, 2200, 900, 1500)
PATTERNS: dict[str, Pattern] = {
    "gop_phase": Pattern(lambda n, t: 500 <= t % 2000 < 1900),
    "gop_phase_as_encoded": Pattern(lambda n, t: 500 <= t % 2000 < 1900, filled=False),
    "gop_late_half": Pattern(_late_half(2000)),
    "some_gops": Pattern(lambda n, t: t // 2000 * 3 % 10 < 6 and t % 2000 >= 240),
    "eleven_seconds_of_twenty": Pattern(lambda n, t: t % 20_000 < 11_500 and t % 2000 >= 240),
    "two_of_three_frames": Pattern(lambda n, t: n % 3 > 0),
    "every_other_frame": Pattern(lambda n, t: n % 2 > 0),
    "gop_1_s": Pattern(_late_half(1000), gops_ms=(1000,)),
    "gop_half_a_second": Pattern(_late_half(500), gops_ms=(500,)),
    "gop_tiny": Pattern(lambda n, t: t % 900 >= 450, gops_ms=(100,)),
    "gop_odd": Pattern(_odd_gops, gops_ms=_ODD),
    "gop_5_s": Pattern(lambda n, t: t % 1250 >= 625, gops_ms=(5000,)),
    "fps_10": Pattern(_late_half(2000), fps=10),
    "fps_60": Pattern(_late_half(2000), fps=60),
}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A stream. Its units from ``begin`` on repeat every ``PATTERN_MS``."""

    extradata: bytes
    units: tuple[AccessUnit, ...]
    begin: int
    shown_ms: int
    """Media time at which known footage is first on screen."""

    def endless(self) -> Iterator[AccessUnit]:
        yield from self.units
        lap = 0
        while True:
            lap += PATTERN_MS
            for unit in self.units[self.begin :]:
                yield AccessUnit(unit.pts_ms + lap, unit.dts_ms + lap, unit.keyframe, unit.data, 0.0)


def pictures(path: Path, most: int = 900) -> list[av.VideoFrame]:
    """Returns the first frames of a video, scaled."""
    with av.open(str(path)) as container:
        frames = (frame.reformat(WIDTH, HEIGHT, "yuv420p") for frame in container.decode(video=0))
        return [frame for frame, _ in zip(frames, range(most), strict=False)]


def hidden_stream(pattern: Pattern, calm: list[av.VideoFrame], known: list[av.VideoFrame]) -> Hidden:
    """Encodes a stream of 26 s as a live encoder would."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.framerate, context.time_base = Fraction(pattern.fps), Fraction(1, 1000)
    context.gop_size = 10_000
    context.options = {"preset": "superfast", "tune": "zerolatency", "crf": "26", "sc_threshold": "0"}
    context.flags |= av.codec.context.Flags.global_header
    starts = _keyframes(pattern)
    packets = []
    first_ms: int | None = None
    for number in range((LEAD_MS + PATTERN_MS) * pattern.fps // 1000):
        at_ms = round(number * 1000 / pattern.fps)
        place = number - LEAD_MS * pattern.fps // 1000
        shows = place >= 0 and pattern.shown(place, at_ms - LEAD_MS)
        if shows and first_ms is None:
            first_ms = at_ms
        # Footage goes on at its own speed while it is hidden.
        frame = (known if shows else calm)[_there_and_back(at_ms * 25 // 1000, len(known if shows else calm))]
        frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
        frame.pict_type = PictureType.I if at_ms in starts else PictureType.NONE
        packets += context.encode(frame)
    packets += context.encode(None)
    assert first_ms is not None
    units = [AccessUnit(p.pts or 0, p.dts or 0, p.is_keyframe, bytes(p), 0.0) for p in packets]
    if pattern.filled:
        most = max(len(unit.data) for unit in units)
        units = [
            AccessUnit(unit.pts_ms, unit.dts_ms, unit.keyframe, _filled(unit.data, most), 0.0)
            for unit in units
        ]
    begin = next(index for index, unit in enumerate(units) if unit.pts_ms >= LEAD_MS)
    return Hidden(bytes(context.extradata or b""), tuple(units), begin, first_ms)


def _keyframes(pattern: Pattern) -> set[int]:
    """Pts of the frames that begin a GOP."""
    starts, at_ms, index = set[int](), -LEAD_MS, 0
    while at_ms < PATTERN_MS:
        number = -(-(at_ms + LEAD_MS) * pattern.fps // 1000)
        starts.add(round(number * 1000 / pattern.fps))
        at_ms += 2000 if at_ms < 0 else pattern.gops_ms[index % len(pattern.gops_ms)]
        index += at_ms > 0
    return starts


def _there_and_back(index: int, count: int) -> int:
    place = index % max(2 * count - 2, 1)
    return place if place < count else 2 * count - 2 - place


def _filled(data: bytes, size: int) -> bytes:
    """Adds filler data up to ``size`` bytes, with start codes or without as the unit has them."""
    missing = size - len(data) - 6
    if missing < 1:
        return data
    filler = _FILLER + b"\xff" * missing + b"\x80"
    annex_b = data.startswith((b"\0\0\0\1", b"\0\0\1"))
    return data + (b"\0\0\0\1" if annex_b else len(filler).to_bytes(4, "big")) + filler
