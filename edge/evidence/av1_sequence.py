"""Reads what a player must know from the sequence header of AV1. Pure.

AV1 Bitstream & Decoding Process Specification, §5.3.2 and §5.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.stream.frame_size_limit import HeaderBits

_SEQUENCE_HEADER: Final = 1
_MOST_OBUS: Final = 16
_MOST_BYTES: Final = 256
_WITH_TIER: Final = 7
"""Levels over this one have a bit that says the tier."""
_SUBSAMPLING: Final = (0b11, 0b00, 0b10)
"""Whether chroma is halved across and down, by profile."""


@dataclass(frozen=True, slots=True)
class Av1Sequence:
    """The sequence header of a stream."""

    obu: bytes
    """The whole OBU."""
    profile: int
    level: int
    high_tier: int
    high_depth: int
    twelve_bits: int
    monochrome: int
    width: int
    height: int

    @property
    def depth(self) -> int:
        """Bits of a sample."""
        return (12 if self.twelve_bits else 10) if self.high_depth else 8

    @property
    def record(self) -> bytes:
        """The av1C: AV1 Codec ISO Media File Format Binding, §2.3.3."""
        flags = self.high_tier << 7 | self.high_depth << 6 | self.twelve_bits << 5 | self.monochrome << 4
        flags |= _SUBSAMPLING[min(self.profile, 2)] << 2
        return bytes([0x81, self.profile << 5 | self.level, flags, 0]) + self.obu


def av1_sequence(data: bytes) -> Av1Sequence | None:
    """Returns the first sequence header among OBUs. None: there is none, or it is damaged."""
    position = 0
    for _ in range(_MOST_OBUS):
        if position >= len(data):
            return None
        head = data[position]
        begin = position + 1 + (head >> 2 & 1)
        size = len(data) - begin
        if head & 2:
            size, begin = _leb128(data, begin)
        position = begin + size
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            content = data[begin : begin + min(size, _MOST_BYTES)]
            try:
                return _read(content, HeaderBits(content))
            except IndexError:
                return None
    return None


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for number, byte in enumerate(data[position : position + 4]):
        value |= (byte & 0x7F) << 7 * number
        if not byte & 0x80:
            return value, position + number + 1
    return len(data), position


def _read(content: bytes, bits: HeaderBits) -> Av1Sequence:
    profile, _, reduced = bits.take(3), bits.take(1), bits.take(1)
    level, tier = 0, 0
    if reduced:
        level = bits.take(5)
    else:
        level, tier = _operating_points(bits)
    across, down = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(across) + 1, bits.take(down) + 1
    if not reduced and bits.take(1):  # numbers of frames
        bits.take(7)
    bits.take(3)
    if not reduced:
        _tools(bits)
    bits.take(3)
    high = bits.take(1)
    twelve = bits.take(1) if profile == 2 and high else 0
    mono = 0 if profile == 1 else bits.take(1)
    obu = bytes([_SEQUENCE_HEADER << 3 | 2]) + _size(len(content)) + content
    return Av1Sequence(obu, profile, level, tier, high, twelve, mono, width, height)


def _operating_points(bits: HeaderBits) -> tuple[int, int]:
    """Returns level and tier of the first one."""
    delay = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.number()
        if bits.take(1):  # model of the decoder
            delay = bits.take(5) + 1
            bits.take(42)
    shown = bits.take(1)
    found: list[tuple[int, int]] = []
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        level = bits.take(5)
        found.append((level, bits.take(1) if level > _WITH_TIER else 0))
        if delay and bits.take(1):
            bits.take(2 * delay + 1)
        if shown and bits.take(1):
            bits.take(4)
    return found[0]


def _tools(bits: HeaderBits) -> None:
    bits.take(4)
    order = bits.take(1)
    if order:
        bits.take(2)
    screen = 2 if bits.take(1) else bits.take(1)
    if screen and not bits.take(1):
        bits.take(1)
    if order:
        bits.take(3)


def _size(length: int) -> bytes:
    out = bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*out, length])
