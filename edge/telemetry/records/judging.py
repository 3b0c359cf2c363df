"""What was judged, and what was not."""

from __future__ import annotations

from dataclasses import dataclass

from edge.domain import Action, Publish
from edge.telemetry.records.base import Record


@dataclass(frozen=True, slots=True)
class Passed(Record):
    """A sample was judged PASS. Reported for nearly every sample, so backends must be quick."""

    latency_ms: float
    """Time from the arrival of the sample's last byte to the verdict."""


@dataclass(frozen=True, slots=True)
class NotPassed(Record):
    """A sample was judged, and the verdict is not PASS or would not be without shadow mode."""

    action: Action
    reason: str
    """``shadow`` when shadow mode withholds the action."""
    latency_ms: float


@dataclass(frozen=True, slots=True)
class JudgedTooLate(Record):
    """A violation was found on a stream that had ended. There is nobody to cut."""

    stream_id: str


@dataclass(frozen=True, slots=True)
class NotJudged(Record):
    """Samples or access units got no verdict."""

    stream_id: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class MatchCounted(Record):
    """A stream showed footage that is only counted. Reported once for an entry and source."""

    stream_id: str
    bank: str
    entry: str
    source: str
    """``match`` or ``sound``."""


@dataclass(frozen=True, slots=True)
class BankEntryRanAway(Record):
    """A bank entry matches too many streams to be right."""

    bank: str
    entry: str
    limit: int
    """Number of streams that it may match."""
    quarantined: bool
    """It flags from now on and never cuts. An entry whose audio matches is only reported."""


@dataclass(frozen=True, slots=True)
class EntriesLookedUp(Record):
    """New bank entries were looked up in what streams have shown."""

    hashes: int
    views: int
    """Frames of streams that were looked at."""
    matches: int
    """Streams that have shown one of them."""
    took_ms: float


@dataclass(frozen=True, slots=True)
class MatchedLate(Record):
    """A stream had shown a bank entry before the bank knew it."""

    stream_id: str
    publish: Publish
    bank: str
    entry: str
    action: Action
    """What the match asks for. PASS: it is only counted."""
    missed_ms: int
    """For how long it was shown."""
    ago_ms: int
    """Since when it is no longer shown, as far as is remembered."""
    over: bool
    """The stream has ended."""


@dataclass(frozen=True, slots=True)
class EntryHeld(Record):
    """A new bank entry may not do what its bank is for."""

    bank: str
    entry: str
    benign_share: float
    """Share of its hashes that are near a benign entry."""
    streams: int
    """Streams of the last day that have shown it, and were passed."""
    own_calm: int
    """Frames of the calm part of the stream that it is from."""


@dataclass(frozen=True, slots=True)
class BankEntryInDoubt(Record):
    """A bank entry matches many streams. People are asked; it acts as before."""

    bank: str
    entry: str
    limit: int


@dataclass(frozen=True, slots=True)
class SourceDemoted(Record):
    """The entries of a source may only flag from now on, or may do again what their banks are for."""

    source: str
    why: str
    """Empty: it is demoted no more."""
