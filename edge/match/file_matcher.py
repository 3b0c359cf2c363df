"""Looks a recorded file up in the banks, with the samples, search and vote of the live path. It decides
nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.domain import Signal, SignalSource
from edge.errors import LimitExceeded
from edge.match.audio.audio_fingerprint import audio_items_of
from edge.match.audio.audio_matcher import AudioMatcher
from edge.match.audio.chromaprint import available
from edge.match.entry import Candidate
from edge.match.fingerprint import Progress, frames_of, has_video
from edge.match.matcher import Matcher
from edge.match.stream_matcher import StreamMatcher
from edge.match.vote import MatchVote

MAX_INTERVAL_MS = 60_000


@dataclass(slots=True)
class Found:
    """A bank entry that matched in the file."""

    entry: str
    bank: str
    category: str
    first_ms: int
    """Media time of the first match."""
    distance: int
    """Least Hamming distance in bits. -1 where the audio matched."""
    samples: int
    """Number of samples that matched. For audio: number of stretches."""
    detail: str
    """``detail`` of the first match's signal."""
    by: SignalSource = SignalSource.MATCH
    """Whether the frame or the audio matched."""


@dataclass(slots=True)
class FileLookup:
    """The result for one file."""

    samples: int = 0
    cut_short: int = 0
    """Samples with more hits within the radius than the bound. Only the nearest hits were kept."""
    found: list[Found] = field(default_factory=list)
    nearest: Candidate | None = None
    """The nearest candidate of all samples, whether or not it counted."""
    near: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of samples with the entry within the radius, by bank and entry."""


def look_up(
    path: Path,
    matcher: Matcher,
    vote: MatchVote,
    *,
    interval_ms: int = 200,
    progress: Progress | None = None,
) -> FileLookup:
    """Looks a video or image up, one sample every ``interval_ms`` of media time.

    Its audio is looked up too where a bank has audio and libchromaprint is installed. A single image
    matches when it is within the radius, because one sample cannot be voted on. Raises BrokenMedia, and
    LimitExceeded for an interval of over a minute.
    """
    if interval_ms > MAX_INTERVAL_MS:
        raise LimitExceeded("interval_ms", MAX_INTERVAL_MS, interval_ms, "ms")
    result = FileLookup()
    found: dict[tuple[str, str, SignalSource], Found] = {}
    listens = matcher.has_audio and available()
    for signal in _audio_signals(path, matcher) if listens else ():
        _note(found, signal)
    due = 0
    last: tuple[Candidate, ...] = ()
    stream = StreamMatcher(matcher)
    for at, length, luma in frames_of(path) if not listens or has_video(path) else ():
        if at < due:
            continue
        due = at + interval_ms
        result.samples += 1
        if progress is not None:
            progress(at / 1000, length)
        before = matcher.cut_short.total()
        last = stream.query(at, luma)
        result.cut_short += matcher.cut_short.total() > before
        result.near.update({(c.bank, c.entry) for c in last})
        if last and (result.nearest is None or last[0].distance < result.nearest.distance):
            result.nearest = last[0]
        for signal in vote.add_candidates(at, last):
            _note(found, signal)
    if result.samples == 1:
        for c in last:
            detail = f"bank={c.bank} variant={c.variant}"
            key = c.bank, c.entry, SignalSource.MATCH
            found.setdefault(key, Found(c.entry, c.bank, c.label, 0, c.distance, 1, detail))
    result.found = list(found.values())
    return result


def _audio_signals(path: Path, matcher: Matcher) -> Iterator[Signal]:
    listening = AudioMatcher(matcher)
    for found in audio_items_of(path):
        if found.restarted:
            listening.restart()
        yield from listening.add_items(found.items, found.start_ms)


def _note(found: dict[tuple[str, str, SignalSource], Found], signal: Signal) -> None:
    bank, entry = signal.bank or "", signal.entry or ""
    distance = -1 if signal.distance is None else signal.distance
    one = Found(entry, bank, signal.category, signal.pts_ms, distance, 0, signal.detail, signal.source)
    one = found.setdefault((bank, entry, signal.source), one)
    one.samples += 1
    one.distance = min(one.distance, distance)
