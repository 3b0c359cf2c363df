"""Converts the framing of H.264 and HEVC: length-prefixed with a configuration record, or Annex B. Pure.

ISO/IEC 14496-15 (avcC §5.3.3, hvcC §8.3.3); ITU-T H.264 and H.265, Annex B.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge.domain import Codec
from edge.errors import InvalidInput

START_CODE = b"\x00\x00\x00\x01"
MAX_EXTRADATA_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Framing:
    """The framing of a stream's access units, from its extradata."""

    prefix_bytes: int
    """Size of the length before each NAL unit. 0 for Annex B."""
    parameter_sets: bytes
    """Parameter sets of the extradata, as Annex B."""

    def annexb(self, data: bytes, *, keyframe: bool) -> bytes:
        """Returns an access unit as Annex B. Keyframes begin with the parameter sets.

        Data after a damaged length is left out.
        """
        if self.prefix_bytes:
            data = b"".join(START_CODE + unit for unit in _units(data, self.prefix_bytes))
        return self.parameter_sets + data if keyframe and data else data

    def in_band(self) -> bytes:
        """Returns the parameter sets, framed like the access units.

        Raises InvalidInput where a parameter set is too long for the length prefix.
        """
        if not self.prefix_bytes:
            return self.parameter_sets
        units = self.parameter_sets.split(START_CODE)[1:]
        longest = max(map(len, units), default=0)
        if longest >= 256**self.prefix_bytes:
            raise InvalidInput(
                "extradata",
                f"a parameter set of {longest} bytes is too long for a length of {self.prefix_bytes} bytes",
            )
        return b"".join(len(unit).to_bytes(self.prefix_bytes, "big") + unit for unit in units)


def framing_of(codec: Codec, extradata: bytes) -> Framing:
    """Returns the framing that extradata implies. Empty extradata means Annex B with parameter sets in band.

    Raises InvalidInput for extradata that is neither a complete configuration record nor Annex B.
    """
    if START_CODE[1:] in extradata[:4] or not extradata:
        return Framing(0, extradata)
    try:
        prefix_bytes, units = (_avcc if codec is Codec.H264 else _hvcc)(extradata)
    except IndexError:
        size = len(extradata)
        kind = "avcC" if codec is Codec.H264 else "hvcC"
        raise InvalidInput("extradata", f"{size} bytes are neither a whole {kind} nor Annex B") from None
    return Framing(prefix_bytes, b"".join(START_CODE + unit for unit in units))


def nal_starts(data: bytes, prefix_bytes: int) -> Iterator[int]:
    """Yields where each NAL unit starts. ``prefix_bytes`` is the size of the length before each, 0 for
    Annex B."""
    position = 0
    while True:
        if prefix_bytes:
            start = position + prefix_bytes
            position = start + int.from_bytes(data[position:start], "big")
        else:
            found = data.find(START_CODE[1:], position)
            start = position = found + 3 if found >= 0 else len(data)
        if start >= len(data):
            return
        yield start


def nal_units(data: bytes) -> Iterator[bytes]:
    """Yields the NAL units of Annex B, without the zeros that may follow one. Empty ones are left out."""
    for start in nal_starts(data, 0):
        end = data.find(START_CODE[1:], start)
        if unit := data[start : end if end >= 0 else None].rstrip(b"\0"):
            yield unit


def _avcc(extradata: bytes) -> tuple[int, list[bytes]]:
    if extradata[0] != 1:
        raise IndexError
    units, position = _sized(extradata, 6, extradata[5] & 0x1F)
    pictures, _ = _sized(extradata, position + 1, extradata[position])
    return (extradata[4] & 3) + 1, units + pictures


def _hvcc(extradata: bytes) -> tuple[int, list[bytes]]:
    units: list[bytes] = []
    position = 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[position + 1 : position + 3], "big")
        found, position = _sized(extradata, position + 3, count)
        units += found
    return (extradata[21] & 3) + 1, units


def _sized(data: bytes, position: int, count: int) -> tuple[list[bytes], int]:
    units = []
    for _ in range(count):
        size = data[position] << 8 | data[position + 1]
        position += 2 + size
        if position > len(data):
            raise IndexError
        units.append(data[position - size : position])
    return units, position


def _units(data: bytes, prefix_bytes: int) -> Iterator[bytes]:
    position = 0
    while position + prefix_bytes <= len(data):
        size = int.from_bytes(data[position : position + prefix_bytes], "big")
        position += prefix_bytes
        if size > len(data) - position:
            return
        if size:
            yield data[position : position + size]
        position += size
