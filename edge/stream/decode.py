"""Decodes access units directly with a codec context, without a demuxer."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from edge.annexb import MAX_EXTRADATA_BYTES, framing_of
from edge.domain import AccessUnit, Codec
from edge.errors import BrokenMedia, InvalidInput, LimitExceeded, UnsupportedCodec
from edge.stream.codecs import DECODERS, AnyCodec, FileCodec
from edge.stream.frame_size_limit import FrameSizeLimit, coded_sizes
from edge.stream.ports import Luma

UNDECODABLE_UNITS = 60
"""Consecutive units without an intact frame after which a stream counts as broken."""
UNDECODABLE_MS = 5_000
"""The same limit in media time, for low frame rates."""
_UNDECODABLE_MIN_UNITS = 8
"""Least units before the limit in media time applies. A decoder may delay frames."""

_TOO_LARGE: Final[dict[AnyCodec, tuple[type[Exception], ...]]] = {
    Codec.VP9: (av.error.ArgumentError,),
    Codec.AV1: (OverflowError,),
}
"""How a decoder refuses a frame over ``max_pixels`` without saying how large it is."""

# Plane 0 is 8-bit luma, one byte a pixel.
_LUMA_FIRST: Final = frozenset(
    {
        *("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv440p", "yuvj440p"),
        *("yuv411p", "yuv410p", "yuva420p", "yuva422p", "yuva444p", "nv12", "nv21", "nv16", "gray"),
    }
)


class Decoder:
    """Decodes one stream with one codec context. Not thread-safe.

    Raises UnsupportedCodec where the linked FFmpeg has no decoder, LimitExceeded for more than 64 KiB of
    extradata, FrameTooLarge for extradata of larger frames than ``largest``, and InvalidInput for
    extradata that the decoder refuses.
    """

    def __init__(
        self, codec: AnyCodec, extradata: bytes = b"", largest: FrameSizeLimit | None = None
    ) -> None:
        if len(extradata) > MAX_EXTRADATA_BYTES:
            raise LimitExceeded("extradata", MAX_EXTRADATA_BYTES, len(extradata), "bytes")
        self.codec = codec
        self.errors: Counter[str] = Counter()
        """Number of tolerated units and frames, by reason: ``empty_unit``, ``invalid_data``,
        ``corrupt_frame``."""
        self.decoded = 0
        """Number of decoded frames."""
        self._largest = largest or FrameSizeLimit()
        framing = framing_of(Codec(codec), extradata) if codec in (Codec.H264, Codec.HEVC) else None
        self._prefix_bytes = 0 if framing is None else framing.prefix_bytes
        if framing is not None:  # FFmpeg would open broken extradata and decode nothing
            self._check_coded_size(framing.parameter_sets, 0)
        self._context = _open(codec, extradata, self._largest)
        self._reformatter = VideoReformatter()
        self._for_reference = False
        self._undecodable_units = 0
        self._undecodable_since_ms: int | None = None
        self.size: tuple[int, int] | None = None
        """``(height, width)`` of the last frame."""

    @property
    def delays_frames(self) -> bool:
        """Whether the decoder returns frames later than their units go in."""
        return self._context.has_b_frames

    def decode(self, unit: AccessUnit, *, for_reference: bool = False) -> list[VideoFrame]:
        """Decodes one unit. Returns the frames that come out, in display order. ``frame.pts`` is media time
        in ms.

        ``for_reference``: its frame is needed only if others refer to it, and otherwise left out.

        Damaged units are counted and tolerated. Raises BrokenMedia when 60 units or 5 s of media gave no
        frame except concealed ones, and FrameTooLarge for frames over the limit.
        """
        if not unit.data:
            self.errors["empty_unit"] += 1
            self._undecodable(unit, [])
            return []
        self._check_coded_size(unit.data, self._prefix_bytes)
        packet = av.Packet(unit.data)
        packet.pts, packet.dts = unit.pts_ms, unit.dts_ms
        packet.is_keyframe = unit.keyframe
        if for_reference != self._for_reference:
            self._for_reference = for_reference
            self._context.skip_frame = "NONREF" if for_reference else "DEFAULT"
        frames = self._send(packet)
        if frames or not for_reference:
            self._undecodable(unit, frames)
        return frames

    def drain(self) -> list[VideoFrame]:
        """Returns the frames that are still in the decoder. It then expects a keyframe."""
        frames = self._send(None)
        self._context.flush_buffers()
        self._has_intact(frames)
        return frames

    def restart(self) -> None:
        """Drops all references and delayed frames. The next unit does not follow the last one."""
        self._context.flush_buffers()

    def luma(self, frame: VideoFrame) -> Luma:
        """Returns the luma of a frame, uint8 ``(h, w)``.

        An 8-bit Y plane is returned as a view with strided rows, which keeps the frame alive. Others are
        converted.
        """
        if frame.format.name not in _LUMA_FIRST:
            frame = self._reformatter.reformat(frame, format="gray8", threads=1)
        plane = frame.planes[0]
        stored: Luma = np.frombuffer(memoryview(plane), dtype=np.uint8)
        return stored.reshape(-1, plane.line_size)[: frame.height, : frame.width]

    def _send(self, packet: Any) -> list[VideoFrame]:
        try:
            frames = self._context.decode(packet)
        except MemoryError as error:
            self._check_context()  # HEVC reports a size over the limit so
            raise BrokenMedia(f"{self.codec}: a frame needs more memory than there is") from error
        except (av.FFmpegError, ValueError, OSError) as error:
            self._check_context()
            if isinstance(error, _TOO_LARGE.get(self.codec, ())):
                raise self._largest.too_large() from None
            self.errors["invalid_data"] += 1
            return []
        kept = []
        for frame in frames:
            self._check_size(frame)
            if frame.is_corrupt:
                self.errors["corrupt_frame"] += 1
            if frame.pts is not None:
                kept.append(frame)
        self.decoded += len(kept)
        return kept

    def _check_size(self, frame: VideoFrame) -> None:
        size = (frame.height, frame.width)
        if size != self.size:
            if not self._largest.allows(frame.width, frame.height):
                raise self._largest.too_large(frame.width, frame.height)
            self._check_context()
            self.size = size

    def _check_context(self) -> None:
        width, height = self._context.coded_width, self._context.coded_height
        if not self._largest.allows_coded(width, height):
            raise self._largest.too_large(width, height)

    def _check_coded_size(self, data: bytes, prefix_bytes: int) -> None:
        for width, height in coded_sizes(self.codec, data, prefix_bytes):
            if not self._largest.allows_coded(width, height):
                raise self._largest.too_large(width, height)

    def _has_intact(self, frames: list[VideoFrame]) -> bool:
        """Whether any frame is intact, which ends a run of undecodable units. Concealed frames do not count.

        A decoder that was set up for other media conceals for ever: it repeats the frame before.
        """
        whole = any(not frame.is_corrupt for frame in frames)
        if whole:
            self._undecodable_units, self._undecodable_since_ms = 0, None
        return whole

    def _undecodable(self, unit: AccessUnit, frames: list[VideoFrame]) -> None:
        if self._has_intact(frames):
            return
        self._undecodable_units += 1
        if self._undecodable_since_ms is None:
            self._undecodable_since_ms = unit.dts_ms
        undecodable_ms = unit.dts_ms - self._undecodable_since_ms
        if self._undecodable_units >= UNDECODABLE_UNITS or (
            undecodable_ms >= UNDECODABLE_MS and self._undecodable_units >= _UNDECODABLE_MIN_UNITS
        ):
            raise BrokenMedia(
                f"{self.codec}: nothing decodable in {self._undecodable_units} access units "
                f"({undecodable_ms} ms of media)"
            )


def _open(codec: AnyCodec, extradata: bytes, largest: FrameSizeLimit | None) -> VideoCodecContext:
    """Opens a decoder. Without ``largest`` it takes frames of any size."""
    name = DECODERS.get(codec.value, codec.value)
    try:
        context = av.CodecContext.create(name, "r")
    except (av.FFmpegError, ValueError) as error:
        raise UnsupportedCodec("codec", f"the linked FFmpeg has no decoder for {codec.value!r}") from error
    if not isinstance(context, VideoCodecContext):
        raise UnsupportedCodec("codec", f"{codec.value!r} is not a video codec")
    # Frame threads delay frames. Slice threads take cores from other streams.
    context.thread_type = "NONE"
    context.thread_count = 1
    if largest is not None:
        context.options = {"max_pixels": str(largest.pixels)}
    if extradata:
        context.extradata = extradata
    try:
        if isinstance(codec, FileCodec):
            codec.describe(context)
        context.open()
    except (av.FFmpegError, ValueError, OSError) as error:
        if largest is not None and extradata:
            any_size = _open(codec, extradata, None)
            if not largest.allows_coded(any_size.width, any_size.height):
                raise largest.too_large(any_size.width, any_size.height) from None
        raise InvalidInput("extradata", f"refused by the {codec.value} decoder: {error}") from error
    return context
