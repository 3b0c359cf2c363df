"""Decides which evidence goes, and why. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EvidenceAge(StrEnum):
    """From what on the age of evidence counts, and how long it is kept."""

    OPEN = "open"
    """Nobody has decided the incident. It counts from its begin."""
    CONFIRMED = "confirmed"
    """It counts from the decision."""
    OVERTURNED = "overturned"
    """The same."""
    APPEALED = "appealed"
    """There was an appeal. It counts from its decision."""


class ErasedWhy(StrEnum):
    """Why evidence went. Stable: it is in the audit log."""

    REQUEST = "request"
    """A person asked for it, for its broadcaster."""
    AGE = "age"
    QUOTA = "quota"


@dataclass(frozen=True, slots=True)
class HeldEvidence:
    """The evidence of one incident, as far as its end depends on it."""

    incident_id: str
    age: EvidenceAge
    since_ms: int
    """Wall time from which its age counts."""
    bytes: int | None
    """Size of its clip. None: not known."""
    gate: str = ""
    sha256: str | None = None
    """Digest of its clip. None: not known, or there is no clip."""
    on_hold: bool = False
    """A person has put it on hold. Nothing erases it."""
    appeal_open: bool = False
    """An appeal waits for its decision, for which the evidence is needed."""
    erase_asked: bool = False


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """How long evidence is kept, and how much."""

    keep_ms: Mapping[EvidenceAge, int] = field(default_factory=dict)
    """By age; one that is missing is kept for ever."""
    quota_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What goes now."""

    erasures: tuple[tuple[HeldEvidence, ErasedWhy], ...]
    over_bytes: int
    """How much is over the quota after that. Only people can change it: they decide, or release holds."""


def plan_erasures(
    held: Iterable[HeldEvidence], rules: RetentionRules, now_ms: int, other_bytes: int = 0
) -> RetentionPlan:
    """Returns what goes now: first what was asked for, then what is too old, then what is over the quota.

    ``other_bytes``: size of the evidence that counts and is not in ``held``, because it cannot go.
    Nothing goes that is on hold. Nothing goes by age or quota while an appeal is open. Over the quota goes
    what people have decided, the oldest decision first: what nobody has reviewed is never lost for space.
    """
    erasures: list[tuple[HeldEvidence, ErasedWhy]] = []
    left: list[HeldEvidence] = []
    for each in held:
        keep_ms = rules.keep_ms.get(each.age)
        if each.on_hold:
            left.append(each)
        elif each.erase_asked:
            erasures.append((each, ErasedWhy.REQUEST))
        elif not each.appeal_open and keep_ms is not None and now_ms - each.since_ms > keep_ms:
            erasures.append((each, ErasedWhy.AGE))
        else:
            left.append(each)
    if rules.quota_bytes is None:
        return RetentionPlan(tuple(erasures), 0)
    over = other_bytes + sum(each.bytes or 0 for each in left) - rules.quota_bytes
    for each in sorted(left, key=lambda one: (one.since_ms, one.incident_id)):
        if over <= 0:
            break
        if each.on_hold or each.appeal_open or each.age is EvidenceAge.OPEN or not each.bytes:
            continue
        erasures.append((each, ErasedWhy.QUOTA))
        over -= each.bytes
    return RetentionPlan(tuple(erasures), max(0, over))
