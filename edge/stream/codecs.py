"""Codecs of streams and of recorded files, and the names of their decoders in the linked FFmpeg."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from av.video.codeccontext import VideoCodecContext

from edge.domain import Codec

# FFmpeg's own av1 decoder needs hardware.
DECODERS: Final[dict[str, str]] = {Codec.AV1: "libdav1d"}


@dataclass(frozen=True, slots=True)
class FileCodec:
    """A codec that only recorded files have, with what its decoder must know from the container.

    Codecs of streams say all of that in their parameter sets.
    """

    value: str
    """FFmpeg's name of the decoder."""
    width: int = 0
    height: int = 0
    tag: str = ""
    """The container's code of four characters."""
    coded_bits: int = 0
    """Bits of a coded pixel."""
    pixel_format: str | None = None

    def __str__(self) -> str:
        return self.value

    def describe(self, decoder: VideoCodecContext) -> None:
        """Tells a decoder that is not open yet. Raises ValueError for what it refuses."""
        decoder.width, decoder.height = self.width, self.height
        decoder.bits_per_coded_sample = self.coded_bits
        if self.tag:
            decoder.codec_tag = self.tag
        if self.pixel_format is not None:
            decoder.pix_fmt = self.pixel_format


AnyCodec = Codec | FileCodec


def codec_of(context: VideoCodecContext) -> AnyCodec:
    """Returns the codec that a container names, whose ``context`` holds its parameters."""
    name = context.codec.canonical_name
    if name in {codec.value for codec in Codec}:
        return Codec(name)
    return FileCodec(
        context.codec.name,
        context.width,
        context.height,
        context.codec_tag,
        context.bits_per_coded_sample or 0,
        context.pix_fmt,
    )
