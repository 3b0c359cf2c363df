"""Decoded sound of one stream to chromaprint items, with the media time at which they begin."""

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

from edge.errors import BrokenMedia, InvalidInput, LimitExceeded
from edge.match.audio.audio_similarity import SHORTEST
from edge.match.audio.chromaprint import HOP, RATE, Chromaprint, Items
from edge.match.entry import MAX_SOUND_ITEMS, AudioPrint

GAP_MS = 300.0
"""Sound that begins so much earlier or later than what came before it ends does not follow it."""
MAX_FRAME_SAMPLES = 1 << 16
LOWEST_HZ = 400
"""Lower tones are taken out of known and live sound alike. Loudspeakers and microphones of telephones do not
have them; with them in the print, sound that has lost them is other sound."""
Samples = npt.NDArray[np.int16]
_FOLLOW = 1 / 64
"""Share of a smaller deviation that is believed: clocks of sound cards drift."""


class AudioItems(NamedTuple):
    """Items that one frame completes."""

    items: Items
    start_ms: float
    """Media time at which the first one begins."""
    restarted: bool
    """They do not follow the ones before."""


def _without_bass() -> av.filter.Graph:
    """From float to int16 samples without what lies below ``LOWEST_HZ``."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout="mono", time_base=Fraction(1, RATE))
    filters = [graph.add("highpass", f"f={LOWEST_HZ}") for _ in range(2)]
    form = graph.add("aformat", "sample_fmts=s16")
    graph.link_nodes(source, *filters, form, graph.add("abuffersink")).configure()
    return graph


class AudioFingerprinter:
    """Takes frames of one stream, whatever their rate and layout. Raises ConfigError where libchromaprint is
    missing."""

    def __init__(self) -> None:
        self._print = Chromaprint()
        self._shape: tuple[str, str, int] | None = None
        self._start_ms: float | None = None
        self._samples = self._items = 0
        self._begin_anew(None)

    def add(self, frame: av.AudioFrame, pts_ms: float) -> AudioItems:
        """LimitExceeded for a frame of over 65,536 samples; FFmpegError and ValueError from the resampler."""
        if frame.samples > MAX_FRAME_SAMPLES:
            raise LimitExceeded("audio frame", MAX_FRAME_SAMPLES, frame.samples, "samples")
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        restarted = self._start_ms is None or shape != self._shape
        if self._start_ms is not None:
            deviation_ms = pts_ms - self._start_ms - 1000 * self._samples / RATE
            restarted = restarted or abs(deviation_ms) > GAP_MS
            self._start_ms += deviation_ms * _FOLLOW
        if restarted:
            self._begin_anew(shape)
            self._start_ms = pts_ms
        frame.pts = None
        return self._feed(self._filtered(frame), restarted)

    def finish(self) -> AudioItems:
        """What is left; other sound may begin afterwards."""
        heard = self._feed(self._filtered(None), False)
        self._begin_anew(None)
        return heard

    def _filtered(self, frame: av.AudioFrame | None) -> Samples:
        """What the print takes; with None what is left."""
        for resampled in self._resampler.resample(frame):
            self._bass.push(resampled)
        if frame is None:
            self._bass.push(None)
        samples = [np.empty(0, np.int16)]
        with suppress(BlockingIOError, EOFError):  # it waits for more, or that was all
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


def audio_items_of(path: Path) -> Iterator[AudioItems]:
    """The sound of a file, in its order; times count from where its picture begins, if it has one.

    Nothing for a file without sound, or of which none can be decoded. Raises InvalidInput when there is no
    such file, BrokenMedia when it is no media.
    """
    if not path.is_file():
        raise InvalidInput("path", f"no such file: {path}")
    try:
        media = av.open(str(path))
    except (FFmpegError, ValueError, OSError) as error:
        raise BrokenMedia(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    with media:
        if not media.streams.audio:
            return
        sound, picture = media.streams.audio[0], next(iter(media.streams.video), None)
        begin_ms = _begin_ms(picture) if picture is not None else _begin_ms(sound)
        hearing = AudioFingerprinter()
        at_ms = 0.0
        for frame in _decoded(media, sound):
            if frame.time is not None:
                at_ms = 1000 * frame.time - begin_ms
            try:
                heard = hearing.add(frame, at_ms)
            except (FFmpegError, ValueError):
                continue
            at_ms += 1000 * frame.samples / frame.sample_rate
            if len(heard.items):
                yield heard
        heard = hearing.finish()
        if len(heard.items):
            yield heard


def _decoded(media: InputContainer, sound: av.AudioStream) -> Iterator[av.AudioFrame]:
    """What can be decoded: damaged packets are left out."""
    with suppress(FFmpegError, OSError):  # the file ends too early
        for packet in media.demux(sound):
            try:
                frames = packet.decode()
            except (FFmpegError, ValueError):
                continue
            yield from frames


def sound_of(path: Path) -> AudioPrint | None:
    """The sound of a file as a bank keeps it; None where it is too short to be told from other sound.

    Raises what ``heard_in`` raises, ConfigError where libchromaprint is missing, and LimitExceeded for more
    than nine hours.
    """
    runs = list(audio_items_of(path))
    items = np.concatenate([*(run.items for run in runs), np.empty(0, np.uint32)])
    if len(items) < SHORTEST:
        return None
    if len(items) > MAX_SOUND_ITEMS:
        raise LimitExceeded(f"{path.name}: sound", MAX_SOUND_ITEMS, len(items), "items")
    return AudioPrint(items.astype("<u4").tobytes(), max(0, round(runs[0].start_ms)))


def _begin_ms(stream: av.VideoStream | av.AudioStream) -> float:
    start, base = stream.start_time, stream.time_base
    return 0.0 if start is None or base is None else float(1000 * start * base)
