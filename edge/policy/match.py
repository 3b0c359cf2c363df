"""The part of the policy about known footage."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from edge.domain import Action
from edge.policy.part import PolicyPart


class MatchPolicy(PolicyPart):
    """When a perceptual-hash match counts, and which action it asks for."""

    enabled: bool = Field(True, description="Whether streams are matched against the banks.")
    radius: int = Field(31, ge=0, le=31, description="Largest Hamming distance of a match, bits of 256.")
    min_quality: int = Field(50, ge=0, le=100, description="PDQ quality below which a frame is not matched.")
    k: int = Field(3, ge=1, le=64, description="Samples that must hit the same entry …")
    span_ms: int = Field(
        20_000,
        ge=500,
        le=60_000,
        description="… within this media time before the match counts, whatever the samples between show.",
    )
    action: Action = Field(Action.CUT, description="Action for a counted match.")
    look_back_ms: int = Field(
        900_000,
        ge=0,
        le=3_600_000,
        description="How far back a new bank entry is looked up in what streams have shown, milliseconds; "
        "0: not at all.",
    )
    sound_action: Action = Field(
        Action.FLAG,
        description="Action for a match by audio alone, because many streams play the same music. pass: "
        "audio is not matched.",
    )

    @model_validator(mode="before")
    @classmethod
    def _stored_before_span(cls, values: Any) -> Any:
        """Stored policies of earlier versions have ``n``, the last samples that vote, in place of a span."""
        return {k: v for k, v in values.items() if k != "n"} if isinstance(values, dict) else values
