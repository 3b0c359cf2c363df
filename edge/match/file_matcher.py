"""A recorded file looked up in the banks: the samples, search and vote of the live path, without judging."""

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
from edge.match.fingerprint import Progress, frames_of, has_picture
from edge.match.matcher import Matcher
from edge.match.stream_matcher import StreamMatcher
from edge.match.vote import MatchVote

MAX_INTERVAL_MS = 60_000


@dataclass(slots=True)
class Found:
    """A bank entry that counted in the file."""

    entry: str
    bank: str
    category: str
    first_ms: int
    """Media time at which the vote counted it first."""
    distance: int
    """The least, bits; -1 where it was found by its sound."""
    samples: int
    """Samples at which it counted; of sound: stretches."""
    detail: str
    """Of the first time, as in the signal."""
    by: SignalSource = SignalSource.MATCH
    """The picture or the sound."""


@dataclass(slots=True)
class FileLookup:
    """What the banks say of one file."""

    samples: int = 0
    cut_short: int = 0
    """Samples with so much within the radius that only the nearest was looked at."""
    found: list[Found] = field(default_factory=list)
    nearest: Candidate | None = None
    """The nearest candidate of any sample, whether it counted or not."""
    near: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Samples with the entry within the radius, by bank and entry."""


def look_up(
    path: Path,
    matcher: Matcher,
    vote: MatchVote,
    *,
    interval_ms: int = 200,
    progress: Progress | None = None,
) -> FileLookup:
    """Look a video or image up, one sample every ``interval_ms`` of media time, and its sound, where a bank
    has any and libchromaprint is installed.

    A single image counts when it is within the radius: it cannot be voted on. Raises BrokenMedia.
    """
    if interval_ms > MAX_INTERVAL_MS:
        raise LimitExceeded("interval_ms", MAX_INTERVAL_MS, interval_ms, "ms")
    result = FileLookup()
    found: dict[tuple[str, str, SignalSource], Found] = {}
    listens = matcher.has_sound and available()
    for signal in _heard(path, matcher) if listens else ():
        _note(found, signal)
    due = 0
    last: tuple[Candidate, ...] = ()
    stream = StreamMatcher(matcher)
    for at, length, luma in frames_of(path) if not listens or has_picture(path) else ():
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
        for signal in vote.add(at, last):
            _note(found, signal)
    if result.samples == 1:
        for c in last:
            detail = f"bank={c.bank} variant={c.variant}"
            key = c.bank, c.entry, SignalSource.MATCH
            found.setdefault(key, Found(c.entry, c.bank, c.label, 0, c.distance, 1, detail))
    result.found = list(found.values())
    return result


def _heard(path: Path, matcher: Matcher) -> Iterator[Signal]:
    listening = AudioMatcher(matcher)
    for heard in audio_items_of(path):
        if heard.restarted:
            listening.restart()
        yield from listening.add(heard.items, heard.start_ms)


def _note(found: dict[tuple[str, str, SignalSource], Found], signal: Signal) -> None:
    bank, entry = signal.bank or "", signal.entry or ""
    distance = -1 if signal.distance is None else signal.distance
    one = Found(entry, bank, signal.category, signal.pts_ms, distance, 0, signal.detail, signal.source)
    one = found.setdefault((bank, entry, signal.source), one)
    one.samples += 1
    one.distance = min(one.distance, distance)
