"""Turns the decoded audio of one stream into chromaprint items with their media times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.filter
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition

from edge.errors import BrokenMedia, InvalidInput, LimitExceeded
from edge.match.audio.audio_similarity import SHORTEST
from edge.match.audio.chromaprint import HOP, RATE, Chromaprint, Items
from edge.match.entry import MAX_AUDIO_ITEMS, AudioPrint
from edge.recorded_media import open_media

GAP_MS = 300.0
"""A frame continues the audio before it when it starts at most this far from that audio's end."""
MAX_FRAME_SAMPLES = 1 << 16
LOWEST_HZ = 400
"""High-pass cutoff for known and live audio. Telephone loudspeakers and microphones lose lower tones.

With these tones in the fingerprint, a recording that lost them would no longer match."""
Samples = npt.NDArray[np.int16]
_FOLLOW = 1 / 64
"""Share of a smaller deviation by which the clock is corrected. The clocks of sound cards drift."""


class AudioItems(NamedTuple):
    """The items that one frame completes."""

    items: Items
    start_ms: float
    """Media time at which the first item begins."""
    restarted: bool
    """Whether these items do not continue the ones before."""


def _without_bass() -> av.filter.Graph:
    """Builds a filter from float to int16 samples that cuts tones below ``LOWEST_HZ``."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout="mono", time_base=Fraction(1, RATE))
    filters = [graph.add("highpass", f"f={LOWEST_HZ}") for _ in range(2)]
    form = graph.add("aformat", "sample_fmts=s16")
    graph.link_nodes(source, *filters, form, graph.add("abuffersink")).configure()
    return graph


class AudioFingerprinter:
    """Fingerprints the audio frames of one stream, of any rate and layout.

    Raises ConfigError where libchromaprint is missing.
    """

    def __init__(self) -> None:
        self._print = Chromaprint()
        self._shape: tuple[str, str, int] | None = None
        self._start_ms: float | None = None
        self._samples = self._items = 0
        self._begin_anew(None)

    @property
    def end_ms(self) -> float | None:
        """Media time at which the audio so far ends. None before the first frame."""
        return None if self._start_ms is None else self._start_ms + 1000 * self._samples / RATE

    def follows(self, pts_ms: float) -> bool:
        """Whether a frame that starts at ``pts_ms`` continues the audio so far."""
        return self.end_ms is not None and abs(pts_ms - self.end_ms) <= GAP_MS

    def add_frame(self, frame: av.AudioFrame, pts_ms: float) -> AudioItems:
        """Takes the next frame. Returns the items that it completes.

        Raises LimitExceeded for a frame of over 65,536 samples. The resampler may raise FFmpegError or
        ValueError.
        """
        if frame.samples > MAX_FRAME_SAMPLES:
            raise LimitExceeded("audio frame", MAX_FRAME_SAMPLES, frame.samples, "samples")
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        restarted = shape != self._shape or not self.follows(pts_ms)
        if restarted:
            self._begin_anew(shape)
            self._start_ms = pts_ms
        elif self._start_ms is not None and self.end_ms is not None:
            self._start_ms += (pts_ms - self.end_ms) * _FOLLOW
        frame.pts = None
        return self._feed(self._filtered(frame), restarted)

    def finish(self) -> AudioItems:
        """Returns the remaining items. Other audio may begin afterwards."""
        heard = self._feed(self._filtered(None), False)
        self._begin_anew(None)
        return heard

    def _filtered(self, frame: av.AudioFrame | None) -> Samples:
        """Returns a frame resampled and filtered for the fingerprint. With None: the remaining samples."""
        for resampled in self._resampler.resample(frame):
            self._bass.push(resampled)
        if frame is None:
            self._bass.push(None)
        samples = [np.empty(0, np.int16)]
        with suppress(BlockingIOError, EOFError):  # the filter waits for more input, or has ended
            while True:
                samples.append(np.asarray(self._bass.pull().to_ndarray(), np.int16).reshape(-1))
        return np.concatenate(samples)

    def _feed(self, samples: Samples, restarted: bool) -> AudioItems:
        start_ms = (self._start_ms or 0.0) + 1000 * self._items * HOP / RATE
        items = self._print.feed(samples)
        self._samples += len(samples)
        self._items += len(items)
        return AudioItems(items, start_ms, restarted)

    def _begin_anew(self, shape: tuple[str, str, int] | None) -> None:
        self._print.restart()
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        self._bass = _without_bass()
        self._shape = shape
        self._start_ms = None
        self._samples = self._items = 0


def frames_of_audio(path: Path) -> Iterator[tuple[av.AudioFrame, float]]:
    """Yields the decoded audio of a file in order: frames, and the media time in milliseconds at which each
    begins. Times count from the start of the file's video, if it has one.

    Yields nothing for a file without audio, or where no audio can be decoded. Raises InvalidInput when the
    file does not exist, and NotMedia or BrokenMedia when it cannot be opened.
    """
    if not path.exists():
        raise InvalidInput("path", f"no such file: {path}")
    try:
        media = open_media(path)
    except OSError as error:
        raise BrokenMedia(f"{path}: {error.strerror or error}") from None
    with media:
        if not media.streams.audio:
            return
        sound = media.streams.audio[0]
        pictures = [s for s in media.streams.video if not s.disposition & Disposition.attached_pic]
        begin_ms = _begin_ms(pictures[0] if pictures else sound)
        at_ms = 0.0
        for frame in _decoded(media, sound):
            if frame.time is not None:
                at_ms = 1000 * frame.time - begin_ms
            yield frame, at_ms
            at_ms += 1000 * frame.samples / frame.sample_rate if frame.sample_rate else 0.0


def audio_items_of(path: Path) -> Iterator[AudioItems]:
    """Yields the fingerprinted audio of a file in order. Times and errors are those of
    ``frames_of_audio``."""
    hearing = AudioFingerprinter()
    for frame, at_ms in frames_of_audio(path):
        try:
            heard = hearing.add_frame(frame, at_ms)
        except (FFmpegError, ValueError):
            continue
        if len(heard.items):
            yield heard
    heard = hearing.finish()
    if len(heard.items):
        yield heard


def _decoded(media: InputContainer, sound: av.AudioStream) -> Iterator[av.AudioFrame]:
    """Yields the frames that can be decoded. Damaged packets are left out."""
    with suppress(FFmpegError, OSError):  # the file ends too early
        for packet in media.demux(sound):
            try:
                frames = packet.decode()
            except (FFmpegError, ValueError):
                continue
            yield from frames


def audio_print_of(path: Path) -> AudioPrint | None:
    """Returns the audio of a file as a bank stores it. None where it is too short to be distinctive.

    Raises as ``audio_items_of`` does, ConfigError where libchromaprint is missing, and LimitExceeded for
    over nine hours.
    """
    runs = list(audio_items_of(path))
    items = np.concatenate([*(run.items for run in runs), np.empty(0, np.uint32)])
    if len(items) < SHORTEST:
        return None
    if len(items) > MAX_AUDIO_ITEMS:
        raise LimitExceeded(f"{path.name}: audio", MAX_AUDIO_ITEMS, len(items), "items")
    return AudioPrint(items.astype("<u4").tobytes(), max(0, round(runs[0].start_ms)))


def _begin_ms(stream: av.VideoStream | av.AudioStream) -> float:
    start, base = stream.start_time, stream.time_base
    return 0.0 if start is None or base is None else float(1000 * start * base)
