"""What of a confirmed incident becomes known footage: how it stands, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from edge.reasons import OpenWord


class BankingState(StrEnum):
    CHOSEN = "chosen"
    """A reviewer has chosen the stretch. A second person has yet to confirm the incident."""
    PENDING = "pending"
    BANKED = "banked"
    NOTHING = "nothing"
    FAILED = "failed"
    WITHDRAWING = "withdrawing"
    """The incident was overturned. Until its footage is out it may still match."""
    WITHDRAWN = "withdrawn"
    """The incident was overturned, and nothing of it is known footage."""


class NothingBanked(OpenWord):
    """Why nothing of an incident was banked."""

    SHADOW = "shadow"
    """Decided in shadow mode."""
    KNOWN_ALREADY = "known_already"
    """Known footage led to the verdict, and the reviewer named no stretch."""
    NO_EVIDENCE = "no_evidence"
    """There is no clip on this gate."""
    NO_STRETCH = "no_stretch"
    """No sample led to the verdict, or an earlier version decided; the reviewer named no stretch."""
    DECLINED = "declined"
    """The reviewer asked for that."""
    NOTHING_LEFT = "nothing_left"
    """Every frame was left out."""


class LeftOutReason(StrEnum):
    """Why a frame was left out."""

    LOW_QUALITY = "low_quality"
    """It shows too little to be recognised by."""
    STILL = "still"
    """The frame stands still."""
    SEEN_IN_STREAM = "seen_in_stream"
    """The calm part of the same stream shows it, too."""
    SEEN_ELSEWHERE = "seen_elsewhere"
    """Another stream of the last day showed it and was passed."""
    BENIGN = "benign"
    """A benign bank has it."""


@dataclass(frozen=True, slots=True)
class Banking:
    """How the banking of one incident stands."""

    state: BankingState
    reason: NothingBanked | None = None
    """Set if the state is NOTHING."""
    stretch_ms: tuple[int, int] | None = None
    """First and last moment of the clip that could be banked, in the clip's own time."""
    frames: int = 0
    """Frames that are known footage now."""
    left_out: Mapping[LeftOutReason, int] = field(default_factory=dict)
    """Frames of the stretch that were left out, by reason."""
    detail: str = ""
    """Free text for people: what went wrong."""
    gates_not_asked: tuple[str, ...] = ()
    """Gates of the fleet that nobody asked what their streams showed: of those no frame was left out."""


def overturned(banking: Banking | None) -> Banking | None:
    """Returns how the banking of an incident stands once that is overturned."""
    if banking is None or banking.state in (BankingState.NOTHING, BankingState.WITHDRAWN):
        return banking
    never = banking.state is BankingState.CHOSEN
    state = BankingState.WITHDRAWN if never else BankingState.WITHDRAWING
    return replace(banking, state=state, detail="")


def undone(before: Banking | None, now: Banking | None) -> Banking | None:
    """Returns how the banking of an incident stands once the last decision about it is undone.

    ``before`` is how it stood before that decision, and ``now`` how it stands. What a confirmation banked is
    taken out again; what an overturning took out is banked again.
    """
    banked = (BankingState.PENDING, BankingState.BANKED, BankingState.FAILED)
    if now is None:
        return before
    if now.state in banked and (before is None or before.state not in banked):
        return replace(now, state=BankingState.WITHDRAWING, detail="")
    if before is not None and before.state in banked and now.state not in banked:
        return Banking(BankingState.PENDING, stretch_ms=before.stretch_ms)
    return before if now.state not in banked else now
