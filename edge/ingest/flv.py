"""Parses FLV video tags into access units, and formats messages as FLV tags.

Sources: Adobe, "Video File Format Specification" 10.1, annex E; Veovera, "Enhanced RTMP" v1 and v2. Refuses
video that the gate could not see, because it would reach viewers unwatched: other codecs, and a second video
track in the same message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from edge.domain import Codec
from edge.errors import InvalidInput, UnsupportedCodec
from edge.ingest.message import Message

FLV_HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"

_LEGACY = {7: Codec.H264, 12: Codec.HEVC}
_FOURCC = {b"avc1": Codec.H264, b"hvc1": Codec.HEVC, b"vp09": Codec.VP9, b"av01": Codec.AV1}
_WITH_COMPOSITION_TIME = (Codec.H264, Codec.HEVC)
_KEYFRAME, _COMMAND_FRAME = 1, 5


class TagKind(Enum):
    CONFIG = "config"
    """``data`` is the decoder configuration (avcC, hvcC, vpcC, av1C)."""
    FRAME = "frame"
    """``data`` is one access unit, in the framing that the configuration implies."""
    OTHER = "other"
    """End of sequence, metadata or a command. Nothing is shown."""


@dataclass(frozen=True, slots=True)
class VideoTag:
    kind: TagKind
    codec: Codec
    keyframe: bool
    composition_ms: int
    data: bytes


def parse_video(payload: bytes) -> VideoTag:
    """Parses one video message. Raises InvalidInput if truncated, UnsupportedCodec if the gate cannot watch
    it."""
    if not payload:
        raise InvalidInput("flv.video", "is empty")
    head = payload[0]
    frame_type = head >> 4 & 0x07
    if head & 0x80:
        return _enhanced(payload, head & 0x0F, frame_type)
    codec = _LEGACY.get(head & 0x0F)
    if codec is None:
        raise UnsupportedCodec("flv.video.codec", f"id {head & 0x0F} cannot be watched")
    if frame_type == _COMMAND_FRAME:
        return VideoTag(TagKind.OTHER, codec, False, 0, b"")
    _need(payload, 5)
    kind = {0: TagKind.CONFIG, 1: TagKind.FRAME}.get(payload[1], TagKind.OTHER)
    return VideoTag(kind, codec, frame_type == _KEYFRAME, _signed24(payload[2:5]), payload[5:])


def _enhanced(payload: bytes, packet_type: int, frame_type: int) -> VideoTag:
    _need(payload, 5)
    codec = _FOURCC.get(payload[1:5])
    if packet_type > 5:
        raise UnsupportedCodec("flv.video.packet_type", f"{packet_type} (multitrack …) cannot be watched")
    if codec is None:
        raise UnsupportedCodec("flv.video.codec", f"{payload[1:5]!r} cannot be watched")
    keyframe = frame_type == _KEYFRAME
    if frame_type == _COMMAND_FRAME:
        return VideoTag(TagKind.OTHER, codec, False, 0, b"")
    if packet_type == 0:
        return VideoTag(TagKind.CONFIG, codec, keyframe, 0, payload[5:])
    if packet_type == 1 and codec in _WITH_COMPOSITION_TIME:
        _need(payload, 8)
        return VideoTag(TagKind.FRAME, codec, keyframe, _signed24(payload[5:8]), payload[8:])
    if packet_type in (1, 3):
        return VideoTag(TagKind.FRAME, codec, keyframe, 0, payload[5:])
    return VideoTag(TagKind.OTHER, codec, False, 0, b"")


def is_audio_config(payload: bytes) -> bool:
    """Whether an audio message carries a decoder configuration, not audio."""
    if len(payload) < 2:
        return False
    aac, enhanced = 10, 9
    audio_format = payload[0] >> 4
    return (audio_format == aac and payload[1] == 0) or (audio_format == enhanced and payload[0] & 0x0F == 0)


def flv_tag(message: Message, timestamp_ms: int) -> bytes:
    """Formats a message as one FLV tag with its trailing size."""
    size = len(message.payload)
    stamp = timestamp_ms & 0xFFFFFFFF
    return (
        struct.pack(">B", message.type_id)
        + size.to_bytes(3, "big")
        + (stamp & 0xFFFFFF).to_bytes(3, "big")
        + bytes([stamp >> 24, 0, 0, 0])
        + message.payload
        + (size + 11).to_bytes(4, "big")
    )


def _need(payload: bytes, size: int) -> None:
    if len(payload) < size:
        raise InvalidInput("flv.video", f"is {len(payload)} bytes long; its header alone takes {size}")


def _signed24(field: bytes) -> int:
    return int.from_bytes(field, "big", signed=True)
