"""Names of codecs, and the names of their decoders in the linked FFmpeg."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from edge.domain import Codec


class FileCodec(StrEnum):
    """Codecs of recorded files that no ingest server sends. Only replay reads them."""

    MPEG4 = "mpeg4"
    MPEG2 = "mpeg2video"
    MPEG1 = "mpeg1video"
    MSMPEG4V2 = "msmpeg4v2"
    MSMPEG4V3 = "msmpeg4v3"
    H263 = "h263"
    FLV1 = "flv1"
    WMV2 = "wmv2"
    WMV3 = "wmv3"
    VC1 = "vc1"
    MJPEG = "mjpeg"
    VP8 = "vp8"
    GIF = "gif"
    THEORA = "theora"
    PRORES = "prores"


AnyCodec = Codec | FileCodec

# FFmpeg's own av1 decoder needs hardware.
DECODERS: Final[dict[str, str]] = {Codec.AV1: "libdav1d", FileCodec.FLV1: "flv"}


def codec_named(name: str) -> AnyCodec | None:
    """Returns the codec with this FFmpeg name, or None where the gate does not decode it."""
    for kind in (Codec, FileCodec):
        if name in {codec.value for codec in kind}:
            return kind(name)
    return None
