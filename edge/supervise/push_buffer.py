"""Keeps the media of a push stream outside its worker, and decides what the worker gets. Pure.

The media must survive a worker that crashes. A calm stream needs little work: its worker looks at a
keyframe and the few units after it. The worker needs the rest of the GOP if the stream turns alert, if
something is found in it, or if the GOP lasts so long that the gate would be blind. So the rest is deferred
and stays here. When one of these cases occurs, the worker gets what it lacks, and the decoder goes on where
it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edge.domain import AccessUnit, Audio
from edge.media_clock import MediaClock
from edge.policy import EvidencePolicy, TierPolicy
from edge.reasons import StampFault
from edge.stream import BitrateJump, Ring
from edge.stream.ring_reader import RingReader
from edge.supervise.kept_media import AudioAlignment, KeptAudio, KeptMedia
from edge.supervise.recording import Recording
from edge.supervise.watermark import Watermark
from edge.timestamps import bounded_ms

MAX_DEFERRED_UNITS: Final = 160
"""Most units of one GOP that are deferred. After that the worker gets the GOP."""
MAX_DEFERRED_BYTES: Final = 8 * 1024 * 1024
BLIND_SHARE: Final = 0.85
"""Share of the blind limit after which an open GOP goes to the worker. It must have the time to decode what
it lacks within the limit."""
_TELL_MS: Final = 60_000.0


@dataclass(frozen=True, slots=True)
class Release:
    """The media that the worker gets now: first ``deferred``, which it lacks, then ``unit``."""

    deferred: tuple[AccessUnit, ...] = ()
    unit: AccessUnit | None = None
    jump: bool = False
    """The units have become much larger, so the stream deserves denser sampling."""


_NOTHING = Release()


class PushBuffer:
    """The media ring of one push stream and the position that the worker has reached in it.

    The evidence policy bounds the ring. Caller timestamps become media time of the gate's own clock.
    """

    def __init__(
        self, tiers: TierPolicy, evidence: EvidencePolicy, max_lead_ms: int, before: PushBuffer | None = None
    ) -> None:
        """``before`` held the stream's media in an earlier call. A new call gives no new lead."""
        self.clock: MediaClock = MediaClock(max_lead_ms, None if before is None else before.clock)
        self._told_ms: float = -_TELL_MS if before is None else before._told_ms
        self.audio_clock: MediaClock = MediaClock(max_lead_ms, None if before is None else before.audio_clock)
        self.watermark = Watermark()
        self.recordings: dict[str, Recording] = {}
        """Recordings of evidence that are running, by incident. They get each unit."""
        self._tiers = tiers
        self._ring = Ring(evidence.ring_ms, evidence.ring_bytes)
        self._ring_ms = evidence.ring_ms
        self._audio = KeptAudio()
        self._alignment = AudioAlignment()
        self._bitrate = BitrateJump()
        self._needed_ms: int | None = None
        self._start_dts_ms: int | None = None
        self._deferred: list[AccessUnit] = []
        self._deferred_bytes = 0
        self._follows = True
        """The worker gets the rest of this GOP as it comes."""

    @property
    def has_video(self) -> bool:
        """Whether a keyframe has come."""
        return self._start_dts_ms is not None

    def set_policy(self, tiers: TierPolicy, evidence: EvidencePolicy) -> None:
        self._tiers = tiers
        self._ring.resize(evidence.ring_ms, evidence.ring_bytes)
        self._ring_ms = evidence.ring_ms

    def add_unit(self, unit: AccessUnit) -> Release:
        """Takes the next access unit in decoding order, with its times as the caller gave them."""
        given_pts_ms, given_dts_ms = bounded_ms(unit.pts_ms), bounded_ms(unit.dts_ms)
        pts_ms, dts_ms = self.clock.advance(given_pts_ms, given_dts_ms, unit.arrival_ms, len(unit.data))
        caller_pts_ms = self.clock.unwrapped_pts_ms(given_pts_ms, given_dts_ms)
        self.watermark.add_unit(caller_pts_ms, max(pts_ms, dts_ms), unit.arrival_ms)
        untimed = self.clock.fault is StampFault.FAST
        if untimed or (pts_ms, dts_ms) != (unit.pts_ms, unit.dts_ms):
            unit = replace(unit, pts_ms=pts_ms, dts_ms=dts_ms, untimed=untimed)
        if self._ring.oldest_ms is None:  # what sounded before is not in the video's time
            self._audio = KeptAudio()
        self._alignment.picture(caller_pts_ms, pts_ms)
        self._ring.append(unit)
        for recording in self.recordings.values():
            recording.add_unit(unit)
        calm = self._needed_ms is not None
        if unit.keyframe:
            self._deferred, self._deferred_bytes = [], 0
            self._start_dts_ms, self._follows = dts_ms, False
            return Release(unit=unit)
        ratio = self._tiers.bitrate_jump
        jump = bool(ratio) and self._bitrate.add_unit(dts_ms, len(unit.data), ratio) and calm
        if jump:
            self._follows = True
        if not calm or self._follows or self._is_needed(dts_ms):
            return Release(self._take_deferred(), unit, jump)
        self._deferred.append(replace(unit, deferred=True))
        self._deferred_bytes += len(unit.data)
        if self._is_too_much(dts_ms):
            self._follows = True
            return Release(self._take_deferred())
        return _NOTHING

    def add_audio(self, audio: Audio) -> Audio:
        """Takes the next audio, with its times as the caller gave them. Returns it in media time."""
        bounded = tuple((bounded_ms(pts_ms), data) for pts_ms, data in audio.units)
        audio = self._alignment.aligned(replace(audio, units=bounded))
        oldest_ms = self._ring.oldest_ms
        if oldest_ms is None:  # audio alone, so far
            oldest_ms = max((pts_ms for pts_ms, _ in audio.units), default=0) - self._ring_ms
        self._audio.add_audio(audio, oldest_ms)
        for recording in self.recordings.values():
            recording.add_audio(audio)
        return audio

    def new_fault(self, now_ms: float) -> StampFault | None:
        """Returns what is wrong with the stamps, at most once a minute. None where nothing is."""
        if self.clock.fault is None or now_ms - self._told_ms < _TELL_MS:
            return None
        self._told_ms = now_ms
        return self.clock.fault

    @property
    def ahead_ms(self) -> float:
        """How long the reader of this stream must wait."""
        return max(self.clock.ahead_ms, self.audio_clock.ahead_ms)

    def change(self, needed_after_keyframe_ms: int | None) -> tuple[AccessUnit, ...]:
        """Sets how much of each GOP the worker needs from now on, None for all. Returns what it lacks of
        this GOP."""
        self._needed_ms = needed_after_keyframe_ms
        return self._take_deferred() if self._deferred and self._is_needed(self._deferred[0].dts_ms) else ()

    def begin_again(self, max_units: int, max_bytes: int) -> tuple[AccessUnit, ...]:
        """Returns the running GOP for a worker that does not know the stream, and needs all until it says
        less.

        Returns nothing if the GOP exceeds the bounds. The worker then waits for the next keyframe.
        """
        self._needed_ms = None
        self._take_deferred()
        gop = self._ring.newest_gop()
        return gop if len(gop) <= max_units and sum(len(unit.data) for unit in gop) <= max_bytes else ()

    def units(self) -> tuple[AccessUnit, ...]:
        """All units in the ring from a keyframe on, for evidence."""
        return self._ring.units()

    def newest_keyframe(self) -> AccessUnit | None:
        """The newest keyframe that is held."""
        return next(iter(self._ring.newest_gop()), None)

    def reader(self, back_ms: int) -> RingReader:
        """Follows the units of the ring, for a person who watches."""
        return RingReader(self._ring, back_ms)

    def kept(self) -> KeptMedia:
        """All that is kept for evidence: the units of the ring, and the audio with them."""
        return KeptMedia(self._ring.units(), self._audio.audio())

    def _is_needed(self, dts_ms: int) -> bool:
        start_ms = self._start_dts_ms
        return start_ms is None or self._needed_ms is None or dts_ms - start_ms <= self._needed_ms

    def _is_too_much(self, dts_ms: int) -> bool:
        gop_ms = dts_ms - (self._start_dts_ms or 0)
        return (
            gop_ms > BLIND_SHARE * self._tiers.blind_limit_ms
            or len(self._deferred) >= MAX_DEFERRED_UNITS
            or self._deferred_bytes >= MAX_DEFERRED_BYTES
        )

    def _take_deferred(self) -> tuple[AccessUnit, ...]:
        deferred, self._deferred, self._deferred_bytes = tuple(self._deferred), [], 0
        return deferred
