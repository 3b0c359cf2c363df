"""What the entries of a bank may ask for. Pure, but for the file that workers read.

The supervisor checks each new entry and writes what it has found into one file beside the verified copies. An
entry that it has not checked yet may only flag. Without the file, as for files and tests, nothing is guarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.domain import Action
from edge.match.bank.array_file import replace_file
from edge.match.bank.manifest import BankInfo
from edge.match.entry import BankPurpose, Entry
from edge.settings_file import open_regular

GUARDS_FILE: Final = "entries.guards"
MOST_HELD: Final = 100_000
"""Most entries with findings that are kept, the newest."""
_MAX_BYTES: Final = 64 * 1024 * 1024
_STRENGTH: Final = (Action.PASS, Action.FLAG, Action.CUT)


class GuardReason(StrEnum):
    """Why an entry may not do what its bank is for."""

    BENIGN = "benign"
    """It is near what a benign bank has."""
    SEEN = "seen"
    """Too many streams of the last day have shown it."""
    OWN_CALM = "own_calm"
    """The calm part of the stream that it is from has shown it."""
    DEMOTED = "demoted"
    """Its source is demoted."""
    PROBATION = "probation"
    """It is too young for its source."""
    UNCHECKED = "unchecked"
    QUARANTINED = "quarantined"


class EntryFinding(BaseModel):
    """What the check of an entry has found."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    benign_share: float = 0.0
    """Share of its hashes that are near a benign entry."""
    streams: int = 0
    """Streams of the last day that have shown it, and were passed."""
    weight: float = 0.0
    """The same, each weighed by what is known of it."""
    own_calm: int = 0
    """Frames of the calm part of its own stream."""
    wall_ms: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an entry."""

    purpose: BankPurpose
    quarantined: bool = False
    checked: bool = True
    age_ms: int = 0
    finding: EntryFinding | None = None
    """None: the check has found nothing."""
    most_seen: float = 0.0
    """Weight of streams above which it may only count. 0: any."""
    probation_ms: int = 0
    vouched: bool = False
    demoted: bool = False


@dataclass(frozen=True, slots=True)
class EntryStanding:
    """The strongest action that an entry may ask for, and what keeps it from more."""

    action: Action
    reasons: tuple[GuardReason, ...]

    def of(self, purpose: BankPurpose) -> BankPurpose:
        """Returns what the entry means: what its bank is for, or less."""
        if purpose is BankPurpose.BENIGN or self.action is Action.CUT:
            return purpose
        return BankPurpose.COUNT if self.action is Action.PASS else BankPurpose.INVESTIGATE


def standing(facts: Facts) -> EntryStanding:
    """Decides what an entry may do. Each reason only takes away."""
    found = facts.finding or EntryFinding()
    held: list[tuple[GuardReason, Action]] = []
    if found.benign_share:
        held.append((GuardReason.BENIGN, Action.PASS if found.benign_share >= 0.5 else Action.FLAG))
    if not facts.vouched:
        if facts.most_seen and found.weight > facts.most_seen:
            held.append((GuardReason.SEEN, Action.PASS))
        if found.own_calm:
            held.append((GuardReason.OWN_CALM, Action.PASS))
        if facts.demoted:
            held.append((GuardReason.DEMOTED, Action.FLAG))
        if facts.age_ms < facts.probation_ms:
            held.append((GuardReason.PROBATION, Action.FLAG))
    if not facts.checked:
        held.append((GuardReason.UNCHECKED, Action.FLAG))
    if facts.quarantined:
        held.append((GuardReason.QUARANTINED, Action.FLAG))
    most = facts.purpose.at_most(quarantined=False)
    return EntryStanding(
        min((most, *(action for _, action in held)), key=_STRENGTH.index), tuple(reason for reason, _ in held)
    )


class SourceRecord(BaseModel):
    """What people have said of the matches with a source's entries, and what followed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    incidents: int = 0
    confirmed: int = 0
    overturned: int = 0
    low: float = 0.0
    """95 % interval of its precision. 0 to 1 without reviews."""
    high: float = 1.0
    demoted: str = ""
    """Why it is demoted. Empty: it is not."""
    since_ms: int = 0
    until_ms: int = 0
    """It is demoted until then at least."""


class SourceTerms(BaseModel):
    """What the policy says of sources."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    probation_ms: int = 0
    vouched: bool = False
    demoted: bool = False


class Guards(BaseModel):
    """All that is known of the entries of a gate."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    checked: dict[str, dict[str, int]] = {}
    """Segments that are checked, by bank and digest, and when their newest entry came."""
    findings: dict[str, dict[str, EntryFinding]] = {}
    """By bank and entry. Most entries have none."""
    sources: dict[str, SourceRecord] = {}
    terms: Annotated[tuple[SourceTerms, ...], Field(max_length=64)] = ()
    most_seen: float = 0.0

    def facts(
        self, bank: str, info: BankInfo, entry: Entry, segment: str, now_ms: int, *, quarantined: bool
    ) -> Facts:
        """What is known of an entry. ``segment`` is the digest of the one that it is in."""
        source = source_of(bank, info, entry)
        terms = next((t for t in self.terms if fnmatchcase(source, t.source)), SourceTerms(source="*"))
        checked = self.checked.get(bank, {})
        known_ms = entry.added_ms or checked.get(segment, now_ms)
        record = self.sources.get(source)
        return Facts(
            info.opinion,
            quarantined,
            segment in checked,
            max(0, now_ms - known_ms),
            self.findings.get(bank, {}).get(entry.id),
            self.most_seen,
            terms.probation_ms,
            terms.vouched,
            terms.demoted or (record is not None and bool(record.demoted)),
        )


def source_of(bank: str, info: BankInfo, entry: Entry) -> str:
    """Where an entry is from: as it says itself, else as its bank says, else its bank."""
    return entry.source or info.source or bank


def read_guards(folder: Path) -> Guards | None:
    """Returns the guards of a folder of verified copies. None: there are none that can be read."""
    try:
        with open_regular(folder / GUARDS_FILE) as file:
            text = file.read(_MAX_BYTES + 1)
        return Guards.model_validate_json(text) if len(text) <= _MAX_BYTES else None
    except (OSError, ValidationError):
        return None


def write_guards(folder: Path, guards: Guards) -> None:
    """Raises OSError."""
    text = guards.model_dump_json().encode()
    replace_file(folder / GUARDS_FILE, lambda out: out.write(text))
