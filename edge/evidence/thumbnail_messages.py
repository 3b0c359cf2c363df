"""What the gate and its process of thumbnails say to each other: a keyframe, and its thumbnail, or why
there is none. Pure but for reading a stream of bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

HEAD: Final = struct.Struct("<BII")
"""Length of the codec's name, of the extradata, and of the keyframe."""
ANSWER_HEAD: Final = struct.Struct("<?I")
"""Whether a frame follows, or a text, and how many bytes."""
MAX_THUMBNAIL_BYTES: Final = 256 * 1024
_MOST_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A frame that is coded by itself, and what its decoder must know."""

    codec: str
    extradata: bytes
    data: bytes

    def to_bytes(self) -> bytes:
        codec = self.codec.encode()
        return HEAD.pack(len(codec), len(self.extradata), len(self.data)) + codec + self.extradata + self.data


def read_keyframe(file: BinaryIO) -> Keyframe | None:
    """Waits for the next one. None: the gate is gone."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    lengths = HEAD.unpack(head)
    codec, extradata, data = (file.read(length) for length in lengths)
    return Keyframe(codec.decode(), extradata, data) if len(data) == lengths[2] else None


def answer(said: bytes | str) -> bytes:
    """Returns a frame, or a text, as an answer."""
    content = said if isinstance(said, bytes) else said.encode()[:_MOST_TEXT]
    return ANSWER_HEAD.pack(isinstance(said, bytes), len(content)) + content
