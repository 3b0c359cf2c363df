"""What is kept of a stream's media for evidence, and where its audio belongs. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from edge.domain import AccessUnit, Audio
from edge.timestamps import WRAP_MS

MAX_AUDIO_KEPT_BYTES: Final = 2 * 1024 * 1024
"""Most bytes of audio that are kept of one stream. The oldest goes first."""
MAX_AUDIO_KEPT: Final = 2_048
"""Most messages of it."""
_APART_MS: Final = 30_000
"""Audio whose stamps are further from the video than this is taken to belong to the newest frame."""
_BEFORE_MS: Final = 2_000
"""Audio from so long before the oldest frame is not kept."""


@dataclass(frozen=True, slots=True)
class KeptMedia:
    """A stretch of a stream: its video in decoding order, and its audio, both in media time."""

    units: tuple[AccessUnit, ...] = ()
    audio: tuple[Audio, ...] = ()


class KeptAudio:
    """The newest audio of a stream, as far back as its video is kept."""

    def __init__(self) -> None:
        self._kept: deque[Audio] = deque()
        self.bytes = 0

    def add_audio(self, audio: Audio, oldest_ms: int) -> None:
        """Adds audio in media time. What is older than ``oldest_ms`` goes."""
        self._kept.append(audio)
        self.bytes += size_of(audio)
        while self._kept and (
            self.bytes > MAX_AUDIO_KEPT_BYTES
            or len(self._kept) > MAX_AUDIO_KEPT
            or _end_ms(self._kept[0]) < oldest_ms - _BEFORE_MS
        ):
            self.bytes -= size_of(self._kept.popleft())

    def audio(self) -> tuple[Audio, ...]:
        return tuple(self._kept)


class AudioAlignment:
    """Puts audio, whose stamps are its caller's, into the media time of the video."""

    def __init__(self) -> None:
        self._shift_ms = 0
        self._newest_ms: int | None = None

    def picture(self, caller_pts_ms: int, pts_ms: int) -> None:
        """Notes the newest frame's stamp as its caller gave it, and its media time."""
        self._shift_ms, self._newest_ms = pts_ms - caller_pts_ms, pts_ms

    def aligned(self, audio: Audio) -> Audio:
        """Returns the audio in media time."""
        units = tuple((self._media_ms(pts_ms), data) for pts_ms, data in audio.units)
        return audio if units == audio.units else replace(audio, units=units)

    def _media_ms(self, pts_ms: int) -> int:
        if self._newest_ms is None:
            return pts_ms
        apart_ms = pts_ms + self._shift_ms - self._newest_ms
        # The video's clock counts the wraps of 32 bits, and audio wraps a moment earlier or later.
        apart_ms -= round(apart_ms / WRAP_MS) * WRAP_MS
        return self._newest_ms + (apart_ms if abs(apart_ms) <= _APART_MS else 0)


def size_of(audio: Audio) -> int:
    """Returns what audio counts for in bytes."""
    return len(audio.extradata) + sum(len(data) for _, data in audio.units)


def total_size(audio: Iterable[Audio]) -> int:
    return sum(size_of(each) for each in audio)


def _end_ms(audio: Audio) -> int:
    return max((pts_ms for pts_ms, _ in audio.units), default=-(2**63))
