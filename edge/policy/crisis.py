"""The part of the policy about crises."""

from __future__ import annotations

from pydantic import Field

from edge.domain import Action
from edge.policy.part import DAY_MS, PolicyPart


class CrisisPolicy(PolicyPart):
    """How a crisis is declared, and what is left of it."""

    two_people: bool = Field(
        False, description="A crisis comes into force when a second person confirms it. Drills need one."
    )
    longest_ms: int = Field(
        3 * DAY_MS,
        ge=3_600_000,
        le=30 * DAY_MS,
        description="The longest time for which a crisis may be declared, milliseconds.",
    )
    bank_after: Action = Field(
        Action.CUT,
        description="What a match with the bank of a crisis asks for once that has ended: cut, flag, or pass "
        "(it is only counted).",
    )
