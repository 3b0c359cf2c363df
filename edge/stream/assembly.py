"""Assembles samples: decodes access units and scales the frames that the sampler keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import av
import numpy as np
from av.video.frame import VideoFrame

from edge.clock import Clock
from edge.domain import AccessUnit, Sample, Tier
from edge.errors import BrokenMedia
from edge.stream.decode import Decoder
from edge.stream.draws import Draws, Purpose
from edge.stream.ports import DetectorPort, FrameTaker, Luma
from edge.stream.sampling import Sampler
from edge.telemetry.distributions import Distributions

DISORDERLY_FRAMES = 8
"""Most late frames. At the start of a stream, a decoder does not know its order yet."""
_FORGET = 1 / 32
"""Part of a late frame that a frame in order makes up for."""
_ARRIVALS = 64
_PLANES = 40
_Converted = TypeVar("_Converted")


class SampleAssembly:
    """Connects decoder, sampler and the detector's planes of one stream.

    Raises BrokenMedia as the decoder does, and for frames that cannot be converted.
    """

    def __init__(
        self,
        decoder: Decoder,
        sampler: Sampler,
        detector: DetectorPort,
        clock: Clock,
        times: Distributions,
        draws: Draws | None = None,
    ) -> None:
        """Without ``draws`` the newest frame of each sample is matched."""
        self.errors: Counter[str] = Counter()
        """``false_keyframe``: a frame was wrongly marked as a keyframe. ``late_frame``: its pts is not
        increasing, and the next millisecond replaces it."""
        self.samples = 0
        self.sight: FrameTaker | None = None
        """What looks at single frames. None: nothing does."""
        self._decoder = decoder
        self._sampler = sampler
        self._detector = detector
        self._clock = clock
        self._times = times
        self._decoded_ms = 0.0
        self._arrival_ms = 0.0
        self._arrivals: dict[int, float] = {}
        """Arrival time by frame, of the unit after which the decoder returned it.

        Where frames are reordered, that unit is later than the frame's own."""
        # The code bounds both dicts itself: a cache class is slower on the path of every frame.
        self._planes: dict[int, Luma] = {}
        self.disorderly = False
        """Whether frames come out in another order than that of their pts, more than now and then."""
        self._disorder = 0.0
        self._newest_ms = 0
        """Pts of the newest frame."""
        self._previous: VideoFrame | None = None
        self._kept: VideoFrame | None = None
        self._draws = draws
        self._matched: VideoFrame | None = None
        """The frame of the next sample that is matched, as drawn so far."""
        self._matched_share = -1.0
        self._size: tuple[int, int] | None = None
        self._expects_keyframe = False
        self._burst: list[AccessUnit] = []

    def feed(self, units: Iterable[AccessUnit], tier: Tier) -> tuple[Sample, ...]:
        """Decodes units. Returns the samples that they complete."""
        samples: list[Sample] = []
        for unit in units:
            self._arrival_ms = unit.arrival_ms
            start_ms = self._clock.monotonic_ms()
            needed_ms = self._sampler.references_until_ms
            frames = self._decoder.decode(
                unit, for_reference=needed_ms is not None and unit.pts_ms < needed_ms
            )
            self._decoded_ms = self._clock.monotonic_ms()
            self._times.decode.observe(self._decoded_ms - start_ms)
            samples.extend(self._use(frames, tier))
        return tuple(samples)

    def end_burst(self, unit: AccessUnit, tier: Tier) -> tuple[tuple[Sample, ...], list[AccessUnit]]:
        """Ends a fully fed calm burst by draining the decoder, where the decoder delays frames.

        That is cheaper than feeding more units, and the sample comes a few frames sooner. ``unit`` was fed
        last. Returns the samples, and the units of a burst that was ended this way: the decoder has lost
        them.
        """
        count = self._sampler.burst_units
        if count <= 1:
            self._burst.clear()
        if not count or not self._decoder.delays_frames:
            return (), []
        self._burst.append(unit)
        if len(self._burst) != count or not self._sampler.burst_is_fed:
            return (), []
        samples = tuple(self._use(self._decoder.drain(), tier))
        self._sampler.drained(count)
        self._expects_keyframe = True
        self._previous = None
        ended, self._burst = self._burst, []
        return samples, ended

    def follow(self, detector: DetectorPort, pts_ms: int) -> None:
        """Switches to another model from the unit at ``pts_ms`` on. It may need different planes."""
        if not detector.shares_planes(self._detector):
            self._planes.clear()
            self.release()
            self._sampler.follow(detector.delta_ms, pts_ms)
        self._detector = detector

    def restart(self) -> None:
        """Resets the decoder. The next unit is a keyframe and does not follow the last one."""
        self._decoder.restart()
        self._expects_keyframe = True
        self._previous = self._matched = None

    def finish(self, tier: Tier) -> tuple[Sample, ...]:
        """Returns the last samples of a stream. A stream too short for a sample gives one from the frames
        it had."""
        samples = list(self._use(self._decoder.drain(), tier))
        if not samples and self._kept is not None and (pts := self._sampler.finish()) is not None:
            samples.append(self._sample(pts, self._kept, tier))
        self.release()
        return tuple(samples)

    def release(self) -> None:
        """Releases the frames between calm bursts. None is needed, and a full-size frame takes megabytes."""
        self._previous = self._kept = self._matched = None

    def _rest(self) -> None:
        """Releases the frames after a sample. Keeps the last one while its plane may still be needed."""
        self._kept = None
        if self._previous is not None and self._previous.pts in self._planes:
            self._previous = None

    def _use(self, frames: list[VideoFrame], tier: Tier) -> Iterator[Sample]:
        for frame in frames:
            if self._expects_keyframe:
                self._expects_keyframe = False
                if not frame.key_frame:
                    self.errors["false_keyframe"] += 1
                    self._sampler.distrust_keyframes()
            pts_ms = frame.pts
            assert pts_ms is not None
            if (frame.height, frame.width) != self._size:
                if self._size is not None:
                    self._sampler.begin_anew(pts_ms)
                self._size = (frame.height, frame.width)
                self._matched = None
            matchable_after_ms = self._sampler.matchable_after_ms
            taps = self._sampler.frame(pts_ms)
            if taps.late:
                # The decoder knows the order. A frame that no sample may show would be a place to hide.
                self.errors["late_frame"] += 1
                self._disorder += 1
                self.disorderly = self.disorderly or self._disorder > DISORDERLY_FRAMES
                pts_ms = frame.pts = self._newest_ms + 1
                taps = self._sampler.frame(pts_ms)
            else:
                self._disorder = max(0.0, self._disorder - _FORGET)
            self._newest_ms = pts_ms
            self._arrivals[pts_ms] = self._arrival_ms
            if len(self._arrivals) > _ARRIVALS:
                del self._arrivals[next(iter(self._arrivals))]
            if self.sight is not None and self.sight.wants(pts_ms):
                self._show(self.sight, frame, pts_ms)
            previous, self._previous = self._previous, frame
            if taps.keep_previous and previous is not None:
                self._keep(previous)
            if taps.keep:
                self._keep(frame)
            if matchable_after_ms is not None and pts_ms > matchable_after_ms:
                self._draw(frame, pts_ms)
            if taps.sample is not None and self._kept is not None:
                newest = previous if previous is not None and previous.pts == taps.sample[2] else self._kept
                yield self._sample(taps.sample, newest, tier)
                if not self._sampler.wants_samples:
                    self._rest()

    def _draw(self, frame: VideoFrame, pts_ms: int) -> None:
        """Makes this frame the matched one with the same chance as each frame before it.

        Each frame has a draw of its own, and the frame with the highest wins.
        """
        if self._draws is None:
            return
        share = self._draws.share(Purpose.MATCHED_FRAME, pts_ms)
        if self._matched is None or share > self._matched_share:
            self._matched, self._matched_share = frame, share

    def _show(self, sight: FrameTaker, frame: VideoFrame, pts_ms: int) -> None:
        start_ms = self._clock.monotonic_ms()
        self._converted(lambda due: sight.add_frame(due, pts_ms, self._arrival_ms), frame)
        self._times.convert.observe(self._clock.monotonic_ms() - start_ms)

    def _keep(self, frame: VideoFrame) -> None:
        """Scales a frame at once. The plane serves every sample that the frame is part of."""
        assert frame.pts is not None
        start_ms = self._clock.monotonic_ms()
        self._planes[frame.pts] = self._converted(self._detector.plane, frame)
        self._times.convert.observe(self._clock.monotonic_ms() - start_ms)
        self._kept = frame
        if len(self._planes) > _PLANES:
            del self._planes[next(iter(self._planes))]

    def _sample(self, pts: tuple[int, int, int], newest: VideoFrame, tier: Tier) -> Sample:
        self.samples += 1
        planes = np.stack([self._planes[time] for time in pts])
        matched, self._matched = self._matched or newest, None
        assert matched.pts is not None
        luma = self._converted(self._decoder.luma, matched)
        now = self._clock.monotonic_ms()
        sample = Sample(
            pts_ms=pts[2],
            arrival_ms=self._arrivals.get(pts[2], now),
            planes=planes,
            luma=luma,
            luma_pts_ms=matched.pts,
            tier=tier,
            decoded_ms=self._decoded_ms,
            converted_ms=now,
        )
        oldest_ms = self._sampler.oldest_kept_ms
        for time in [t for t in self._planes if oldest_ms is None or t < oldest_ms]:
            del self._planes[time]
        return sample

    def _converted(self, convert: Callable[[VideoFrame], _Converted], frame: VideoFrame) -> _Converted:
        try:
            return convert(frame)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise BrokenMedia(
                f"frame of format {frame.format.name}, {frame.width}x{frame.height}: {error}"
            ) from error
