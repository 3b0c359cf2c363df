"""One recording of evidence: a stream's media from before a verdict until its activity is over. Pure."""

from __future__ import annotations

from edge.domain import AccessUnit, Audio
from edge.policy import EvidencePolicy
from edge.supervise.kept_media import KeptMedia, size_of, total_size


class Recording:
    """Access units in decoding order and the audio with them, bounded in time and in bytes.

    It ends ``after_ms`` after the newest sign of the activity, ``longest_ms`` after the verdict, or before
    the unit that would make it larger than ``clip_bytes``. Times are monotonic milliseconds.
    """

    def __init__(self, kept: KeptMedia, policy: EvidencePolicy, now_ms: float) -> None:
        """``kept`` is what is kept of the media before the verdict."""
        self._units = list(kept.units)
        self._audio = list(kept.audio)
        self._after_ms = policy.after_ms
        self._max_bytes = policy.clip_bytes
        self._latest_ms = now_ms + policy.longest_ms
        self._until_ms = min(now_ms + policy.after_ms, self._latest_ms)
        self._full = False
        self.bytes = sum(len(unit.data) for unit in self._units) + total_size(self._audio)
        self.grown = False
        """Whether media came after the verdict."""

    def add_unit(self, unit: AccessUnit) -> None:
        """Adds the next unit. Once one does not fit, the recording is over: it has no gap."""
        if self._full or self.bytes + len(unit.data) > self._max_bytes:
            self._full = True
            return
        self._units.append(unit)
        self.bytes += len(unit.data)
        self.grown = True

    def add_audio(self, audio: Audio) -> None:
        """Adds the next audio, while the recording goes on. Audio that does not fit is left out: the video
        goes on."""
        if not self._full and self.bytes + size_of(audio) <= self._max_bytes:
            self._audio.append(audio)
            self.bytes += size_of(audio)
            self.grown = self.grown or not self._units

    def prolong(self, now_ms: float) -> None:
        """What is recorded goes on."""
        self._until_ms = min(max(self._until_ms, now_ms + self._after_ms), self._latest_ms)

    def goes_on_to_the_end(self) -> None:
        """It records until the stream is over, within its bounds."""
        self._until_ms = self._latest_ms

    def is_over(self, now_ms: float) -> bool:
        return self._full or now_ms >= self._until_ms

    def units(self) -> tuple[AccessUnit, ...]:
        return tuple(self._units)

    def kept(self) -> KeptMedia:
        return KeptMedia(tuple(self._units), tuple(self._audio))
