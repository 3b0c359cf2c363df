"""The part of the policy about the review by people."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import Field

from edge.policy.part import DAY_MS, PolicyPart

MAX_REOPEN_MS: Final = 3_600_000


class UnreviewedOutcome(StrEnum):
    """What happens to a block and its strike if nobody reviews it in time."""

    LAPSE = "lapse"
    STAND = "stand"


class SecondLevel(StrEnum):
    """Who decides what a person has escalated."""

    ANYONE = "anyone"
    ANOTHER = "another"
    ADMIN = "admin"


class ReviewPolicy(PolicyPart):
    """Due process: what holds until a person has looked, and how people decide."""

    provisional_ms: int = Field(
        DAY_MS, ge=1_000, le=365 * DAY_MS, description="How long a block waits for a person's review."
    )
    detector: UnreviewedOutcome = Field(
        UnreviewedOutcome.LAPSE,
        description="What happens then to a block by the detector alone, or by footage that the gate itself "
        "banked of a confirmed incident: lapse or stand.",
    )
    match: UnreviewedOutcome = Field(
        UnreviewedOutcome.STAND, description="What happens then to a block by known footage: lapse or stand."
    )
    two_person_permanent: bool = Field(
        False, description="A permanent block needs two people; until the second confirms, it has an end."
    )
    two_person_severe: bool = Field(
        False,
        description="What is severe needs two people to confirm it; the first one's word is a proposal, and "
        "until the second confirms, its block has an end.",
    )
    second_level: SecondLevel = Field(
        SecondLevel.ANYONE,
        description="Who decides what is escalated. anyone: any reviewer. another: not the one who has "
        "escalated it. admin: an admin.",
    )
    interim_ms: int = Field(
        90 * DAY_MS,
        ge=1_000,
        le=3650 * DAY_MS,
        description="How long a block that needs two people holds after only one has confirmed it.",
    )
    claim_ms: int = Field(
        30 * 60_000, ge=1_000, le=7 * DAY_MS, description="How long a claim on an incident lasts."
    )
    reopen_ms: int = Field(
        5 * 60_000,
        ge=0,
        le=MAX_REOPEN_MS,
        description="A FLAG of the same kind on the same stream within this time after the last sign of a "
        "flagged activity belongs to its incident; 0: each FLAG is an incident. A review ends the incident.",
    )
    incident_ms: int = Field(
        30 * 60_000,
        ge=1_000,
        le=DAY_MS,
        description="How long an incident takes further FLAGs; the next one then opens another.",
    )
    appeal_ms: int = Field(
        180 * DAY_MS,
        ge=1_000,
        le=3650 * DAY_MS,
        description="How long after the start of a block appeals are accepted.",
    )
    appeals: int = Field(
        2, ge=0, le=16, description="Most appeals against one block or incident, one after another."
    )
