"""What a player must know of a stream's codec: the sample entry of an MP4 and the codec's name. Pure.

ISO/IEC 14496-15 (avcC §5.3.3, hvcC §8.3.3); AV1 Codec ISO Media File Format Binding §2.3; VP Codec ISO Media
File Format Binding; names of codecs: RFC 6381.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from edge.annexb import framing_of, nal_units
from edge.domain import AccessUnit, Codec
from edge.errors import BrokenMedia, UnsupportedCodec
from edge.evidence.av1_sequence import av1_sequence
from edge.stream.frame_size_limit import shown_size

_LENGTH_BYTES: Final = 4
_UNKNOWN_SIZE: Final = (1280, 720)
"""Players take the size from the media itself."""
_MOST_PARAMETER_SETS: Final = 31
_HEVC_KINDS: Final = (32, 33, 34)
_VP9_LEVEL: Final = 41
_AV1_MARKER: Final = 0x81
_AV1_RECORD_BYTES: Final = 4
_HEVC_PROFILE: Final = slice(3, 15)
"""Profile, tier and level in a sequence parameter set, behind the header of the NAL unit and one byte."""


@dataclass(frozen=True, slots=True)
class DecoderRecord:
    """How a player decodes a stream."""

    name: str
    """As ``codecs`` of a media type has it, such as ``avc1.64001f``."""
    entry: str
    """Kind of the sample entry, four characters."""
    box: str
    """Kind of the box with the record, four characters."""
    record: bytes
    width: int
    height: int
    annexb: bool
    """The stream comes as Annex B, and an MP4 has lengths instead of start codes."""

    def sample(self, data: bytes) -> bytes:
        """Returns an access unit as an MP4 has it."""
        if not self.annexb:
            return data
        return b"".join(len(unit).to_bytes(_LENGTH_BYTES, "big") + unit for unit in nal_units(data))


def decoder_record(codec: str, extradata: bytes, keyframe: AccessUnit) -> DecoderRecord:
    """Describes a stream by its configuration record, or by its parameter sets in a keyframe.

    Raises UnsupportedCodec, InvalidInput for damaged extradata, and BrokenMedia where parameter sets are
    missing.
    """
    match codec:
        case Codec.H264:
            return _avc(extradata, keyframe.data)
        case Codec.HEVC:
            return _hevc(extradata, keyframe.data)
        case Codec.AV1:
            return _av1(extradata, keyframe.data)
        case Codec.VP9:
            return _vp9(keyframe.data)
    raise UnsupportedCodec("codec", f"{codec[:16]!r} is not a codec that can be shown")


def _avc(extradata: bytes, keyframe: bytes) -> DecoderRecord:
    framing = framing_of(Codec.H264, extradata)
    sets = list(nal_units(framing.parameter_sets if framing.prefix_bytes else extradata + keyframe))
    sequence = _unlike([unit for unit in sets if unit[0] & 0x1F == 7])
    picture = _unlike([unit for unit in sets if unit[0] & 0x1F == 8])
    if not sequence or not picture or len(sequence[0]) < 4:
        raise BrokenMedia("h264: no parameter sets in front of the keyframe")
    record = extradata
    if not framing.prefix_bytes:
        record = b"\x01" + sequence[0][1:4] + b"\xff" + bytes([0xE0 | len(sequence)]) + _sized(sequence)
        record += bytes([len(picture)]) + _sized(picture)
    width, height = _size_of(Codec.H264, sequence)
    name = f"avc1.{sequence[0][1:4].hex()}"
    return DecoderRecord(name, "avc1", "avcC", record, width, height, not framing.prefix_bytes)


def _hevc(extradata: bytes, keyframe: bytes) -> DecoderRecord:
    framing = framing_of(Codec.HEVC, extradata)
    sets = list(nal_units(framing.parameter_sets if framing.prefix_bytes else extradata + keyframe))
    by_kind = {kind: _unlike([u for u in sets if u[0] >> 1 & 0x3F == kind]) for kind in _HEVC_KINDS}
    if not all(by_kind.values()):
        raise BrokenMedia("hevc: no parameter sets in front of the keyframe")
    plain = by_kind[33][0].replace(b"\0\0\3", b"\0\0")
    profile = plain[_HEVC_PROFILE]
    if len(profile) < 12:
        raise BrokenMedia("hevc: a sequence parameter set that ends early")
    record = extradata
    if not framing.prefix_bytes:
        layers = (plain[2] >> 1 & 7) + 1
        depth = 0xF8 | (2 if profile[0] & 0x1F == 2 else 0)
        record = b"\x01" + profile + b"\xf0\x00\xfc\xfd" + bytes([depth, depth]) + b"\0\0"
        record += bytes([layers << 3 | (plain[2] & 1) << 2 | _LENGTH_BYTES - 1, len(by_kind)])
        for kind, units in by_kind.items():
            record += bytes([0x80 | kind]) + struct.pack(">H", len(units)) + _sized(units)
    width, height = _size_of(Codec.HEVC, by_kind[33])
    return DecoderRecord(_hevc_name(profile), "hvc1", "hvcC", record, width, height, not framing.prefix_bytes)


def _hevc_name(profile: bytes) -> str:
    """ISO/IEC 14496-15, annex E.3."""
    space = ("", "A", "B", "C")[profile[0] >> 6]
    compatible = int(f"{int.from_bytes(profile[1:5], 'big'):032b}"[::-1], 2)
    tier = "H" if profile[0] & 0x20 else "L"
    constraints = "".join(f".{byte:x}" for byte in profile[5:11].rstrip(b"\0"))
    return f"hvc1.{space}{profile[0] & 0x1F}.{compatible:x}.{tier}{profile[11]}{constraints}"


def _av1(extradata: bytes, keyframe: bytes) -> DecoderRecord:
    has_record = len(extradata) >= _AV1_RECORD_BYTES and extradata[0] == _AV1_MARKER
    given = extradata[_AV1_RECORD_BYTES:] if has_record else extradata
    sequence = av1_sequence(given) or av1_sequence(keyframe)
    if sequence is None:
        raise BrokenMedia("av1: no sequence header in front of the keyframe")
    name = f"av01.{sequence.profile}.{sequence.level:02}{'MH'[sequence.high_tier]}.{sequence.depth:02}"
    record = extradata if has_record else sequence.record
    size = (sequence.width, sequence.height)
    return DecoderRecord(name, "av01", "av1C", record, *size, annexb=False)


def _vp9(keyframe: bytes) -> DecoderRecord:
    if not keyframe:
        raise BrokenMedia("vp9: an empty keyframe")
    profile = vp9_profile(keyframe)
    bits = 10 if profile >= 2 else 8
    chroma = 3 if profile & 1 else 1
    record = bytes([1, 0, 0, 0, profile, _VP9_LEVEL, bits << 4 | chroma << 1, 1, 1, 1, 0, 0])
    name = f"vp09.{profile:02}.{_VP9_LEVEL}.{bits:02}"
    return DecoderRecord(name, "vp09", "vpcC", record, *_UNKNOWN_SIZE, annexb=False)


def vp9_profile(frame: bytes) -> int:
    """Reads the profile from the third and fourth bit of a frame, low bit first (VP9 bitstream spec, 6.2)."""
    return frame[0] >> 5 & 1 | frame[0] >> 3 & 2


def _unlike(units: list[bytes]) -> list[bytes]:
    return list(dict.fromkeys(unit for unit in units if len(unit) < 1 << 16))[:_MOST_PARAMETER_SETS]


def _sized(units: list[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(unit)) + unit for unit in units)


def _size_of(codec: Codec, sequence: list[bytes]) -> tuple[int, int]:
    width, height = shown_size(codec, sequence[0]) or _UNKNOWN_SIZE
    return (width, height) if width < 1 << 16 and height < 1 << 16 else _UNKNOWN_SIZE
