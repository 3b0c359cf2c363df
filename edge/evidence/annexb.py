"""Length-prefixed H.264 and HEVC as Annex B byte streams. Pure.

ISO/IEC 14496-15 (avcC §5.3.3, hvcC §8.3.3); ITU-T H.264 and H.265, Annex B. PyAV offers no way to give a
muxed stream its extradata, and the MP4 muxer takes the parameter sets from an Annex B stream itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.domain import Codec
from edge.errors import InvalidInput

START_CODE = b"\x00\x00\x00\x01"


class AnnexB:
    """Converts the access units of one stream; units that are Annex B already stay as they are."""

    def __init__(self, codec: Codec, extradata: bytes) -> None:
        """Raises InvalidInput for a decoder configuration that is cut short."""
        self._prefix_bytes = 0
        self._parameter_sets = b""
        if extradata[:1] != b"\x01":
            self._parameter_sets = extradata
            return
        try:
            if codec is Codec.H264:
                self._prefix_bytes, units = _avcc(extradata)
            else:
                self._prefix_bytes, units = _hvcc(extradata)
        except IndexError:
            raise InvalidInput(
                "extradata", f"decoder configuration of {len(extradata)} bytes is torn"
            ) from None
        self._parameter_sets = b"".join(START_CODE + unit for unit in units)

    def convert(self, data: bytes, *, keyframe: bool) -> bytes:
        """One access unit; keyframes get the parameter sets in front. What follows a damaged length is
        left out."""
        if self._prefix_bytes:
            data = b"".join(START_CODE + unit for unit in _units(data, self._prefix_bytes))
        return self._parameter_sets + data if keyframe and data else data


def _avcc(extradata: bytes) -> tuple[int, list[bytes]]:
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
