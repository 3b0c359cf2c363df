"""The largest frame that is decoded, and the coded size that parameter sets announce. Pure.

A decoder needs time and memory for the coded size of a frame. Cropping hides it: a frame of 64 × 64 may
be coded as 8192 × 8192. So the parameter sets are read before anything is decoded with them.

ITU-T H.264 §7.3.2.1.1 and H.265 §7.3.2.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from edge.annexb import nal_starts
from edge.domain import Codec
from edge.errors import FrameTooLarge
from edge.stream.codecs import AnyCodec

_SPS_BYTES: Final = 1024
"""The size stands at the beginning of a parameter set. Only so much of it is read."""
_MOST_NAL_UNITS: Final = 64
"""Most NAL units that are looked at before the first slice."""
_WITH_CHROMA_FORMAT: Final = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
"""H.264 profiles whose parameter sets state the chroma format and scaling lists."""
_MOST_BITS_OF_A_NUMBER: Final = 32


@dataclass(frozen=True, slots=True)
class FrameSizeLimit:
    """The largest frame, upright or on its side."""

    long_edge: int = 4096
    short_edge: int = 2304

    @property
    def pixels(self) -> int:
        """Pixels of the largest frame, with both edges rounded up to whole coding blocks."""
        return _blocks(self.long_edge) * _blocks(self.short_edge)

    def allows(self, width: int, height: int) -> bool:
        return min(width, height) <= self.short_edge and max(width, height) <= self.long_edge

    def allows_coded(self, width: int, height: int) -> bool:
        """Whether a coded size is allowed. It may be rounded up to whole blocks."""
        short, long = sorted((width, height))
        return short <= _blocks(self.short_edge) and long <= _blocks(self.long_edge)

    def too_large(self, width: int = 0, height: int = 0) -> FrameTooLarge:
        """Returns the error for a frame of this size. 0: the decoder does not say how large it is."""
        return FrameTooLarge(width, height, self.long_edge, self.short_edge)


@dataclass(frozen=True, slots=True)
class _CodedSize:
    width: int
    height: int
    crop_width: int
    crop_height: int


FILE_FRAMES: Final = FrameSizeLimit(8192, 8192)
"""For recorded files that an operator chooses."""


def coded_sizes(codec: AnyCodec, data: bytes, prefix_bytes: int) -> Iterator[tuple[int, int]]:
    """Yields width and height of each sequence parameter set before the first slice of an access unit.

    ``prefix_bytes`` is the size of the length before each NAL unit, 0 for Annex B. Yields nothing for codecs
    other than H.264 and HEVC, and for parameter sets that are damaged.
    """
    if codec is not Codec.H264 and codec is not Codec.HEVC:
        return
    hevc = codec is Codec.HEVC
    for start in islice(nal_starts(data, prefix_bytes), _MOST_NAL_UNITS):
        kind = data[start] >> 1 & 0x3F if hevc else data[start] & 0x1F
        if kind < 32 if hevc else 1 <= kind <= 5:
            return
        if kind == (33 if hevc else 7):
            bits = HeaderBits(data[start + 1 + hevc : start + _SPS_BYTES].replace(b"\0\0\3", b"\0\0"))
            try:
                coded = _hevc(bits) if hevc else _h264(bits)
                yield coded.width, coded.height
            except IndexError:
                continue


class HeaderBits:
    """Reads bits. Raises IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._value >> self._left & ((1 << count) - 1)

    def number(self) -> int:
        """Reads an Exp-Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _MOST_BITS_OF_A_NUMBER:
                raise IndexError
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        number = self.number()
        return (number + 1) // 2 if number % 2 else -number // 2


def shown_size(codec: Codec, sequence: bytes) -> tuple[int, int] | None:
    """Returns width and height that a sequence parameter set of H.264 or HEVC leaves of its frames.
    ``sequence`` is the NAL unit. None: it is damaged, or leaves nothing."""
    hevc = codec is Codec.HEVC
    bits = HeaderBits(sequence[1 + hevc : _SPS_BYTES].replace(b"\0\0\3", b"\0\0"))
    try:
        coded = _hevc(bits) if hevc else _h264(bits)
        left, right, top, bottom = (bits.number() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    except IndexError:
        return None
    width = coded.width - coded.crop_width * (left + right)
    height = coded.height - coded.crop_height * (top + bottom)
    return (width, height) if width > 0 and height > 0 else None


def _h264(bits: HeaderBits) -> _CodedSize:
    """Reads up to the flag that says whether the frame is cropped."""
    profile, chroma = bits.take(8), 1
    bits.take(16)
    bits.number()
    if profile in _WITH_CHROMA_FORMAT:
        chroma = bits.number()
        if chroma == 3:
            bits.take(1)
        bits.number()
        bits.number()
        bits.take(1)
        if bits.take(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.number()
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(1)
        bits.number()
        bits.number()
        for _ in range(min(bits.number(), 255)):
            bits.number()
    bits.number()
    bits.take(1)
    width, height = 16 * (bits.number() + 1), 16 * (bits.number() + 1)
    fields = 2 - bits.take(1)
    if fields == 2:
        bits.take(1)
    bits.take(1)
    return _CodedSize(width, height * fields, *_crop_units(chroma, fields))


def _skip_scaling_list(bits: HeaderBits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _hevc(bits: HeaderBits) -> _CodedSize:
    """The same."""
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.number()
    chroma = bits.number()
    if chroma == 3:
        bits.take(1)
    return _CodedSize(bits.number(), bits.number(), *_crop_units(chroma, 1))


def _crop_units(chroma: int, fields: int) -> tuple[int, int]:
    """Returns in what steps of pixels a frame is cropped, across and down."""
    return 2 if chroma in (1, 2) else 1, (2 if chroma == 1 else 1) * fields


def _blocks(edge: int) -> int:
    return -(-edge // 64) * 64
