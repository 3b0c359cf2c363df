"""Hears the audio of a recorded file as its media time advances, with what listens to a live stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
from av.error import FFmpegError

from edge.detect.audio.audio_model import AudioModel
from edge.detect.audio.hearing import SILENT_MS, StreamHearing
from edge.domain import Signal
from edge.errors import InvalidInput
from edge.match import Matcher, frames_of_audio
from edge.policy import Policy
from edge.stream import AudioFrames, KnownAudio, wanted_audio


class Heard(NamedTuple):
    """What comes of a piece of audio."""

    known: tuple[Signal, ...] = ()
    """Known audio in it."""
    windows: tuple[tuple[Signal, ...], ...] = ()
    """For each window of audio that ends in it, a signal for each category that is judged."""


class FileAudio:
    """The audio of one file."""

    def __init__(
        self, path: Path, policy: Policy, model: AudioModel | None, matcher: Matcher, begin_ms: int
    ) -> None:
        """``begin_ms`` is the media time of the file's start."""
        wanted = wanted_audio(policy, model, matcher)
        self.listens = bool(wanted)
        """Whether anything listens."""
        self.categories = tuple(sorted(wanted.heard))
        """The categories of the audio model that are judged."""
        self._hearing = StreamHearing(model, wanted.heard) if model is not None and wanted.heard else None
        self._frames = AudioFrames(KnownAudio(matcher) if wanted.known else None, self._hearing)
        self._begin_ms = begin_ms
        self._coming: Iterator[tuple[av.AudioFrame, float]] = frames_of_audio(path) if wanted else iter(())
        self._next: tuple[av.AudioFrame, float] | None = None
        self._end_ms = float(begin_ms)
        self._over = not wanted

    @property
    def windows(self) -> int:
        """Number of windows of audio so far, judged or not."""
        return 0 if self._hearing is None else self._hearing.windows

    @property
    def length_ms(self) -> float:
        """Length of the audio so far."""
        return self._end_ms - self._begin_ms

    def until(self, pts_ms: int | None) -> Iterator[Heard]:
        """Yields what is heard up to a media time, or to the end with None. Raises as ``frames_of_audio``
        and ``AudioFrames`` do."""
        while not self._over:
            if self._next is None:
                self._next = next(self._coming, None)
            if self._next is None:
                self._over = True
                yield self._end()
                break
            frame, at_ms = self._next
            end_ms = self._begin_ms + at_ms + (1000 * frame.samples / frame.sample_rate)
            if pts_ms is not None and end_ms > pts_ms:
                break
            self._next, self._end_ms = None, end_ms
            try:
                items = self._frames.add_frame(frame, self._begin_ms + at_ms)
            except (FFmpegError, ValueError, OSError, InvalidInput):  # this frame is damaged
                continue
            known = () if self._frames.known is None else self._frames.known.look_up(items)
            yield Heard(known, tuple(self._judged()))
        self._frames.flush()
        yield Heard(windows=tuple(self._judged()))
        if pts_ms is not None and pts_ms - self._end_ms > SILENT_MS:
            yield self._settled(pts_ms)

    def _end(self) -> Heard:
        items = self._frames.finish()
        known = () if self._frames.known is None else self._frames.known.look_up(items)
        return Heard(known, tuple(self._judged()))

    def _judged(self) -> Iterator[tuple[Signal, ...]]:
        if self._hearing is not None:
            yield from (self._hearing.judge(window) for window in self._hearing.waiting())

    def _settled(self, pts_ms: int) -> Heard:
        settled = () if self._hearing is None else self._hearing.settle(pts_ms)
        return Heard(windows=(settled,) if settled else ())
