"""The part of the policy about failures of the gate."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from edge.domain import Action
from edge.policy.part import PolicyPart


class FailureMode(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class FailurePolicy(PolicyPart):
    """What happens when a part of the gate is away. Every use is counted."""

    on_ledger_down: FailureMode = Field(
        FailureMode.ALLOW, description="Whether publishes are admitted while the ledger cannot be read."
    )
    on_gate_degraded: FailureMode = Field(
        FailureMode.ALLOW, description="Whether running streams go on that the gate cannot watch."
    )
    on_no_video: FailureMode = Field(
        FailureMode.DENY,
        description="Whether running streams go on that bring audio and no video. Where they do, only the "
        "audio model judges them.",
    )
    on_capacity: FailureMode = Field(
        FailureMode.DENY, description="Whether new streams are admitted while every worker is at its limit."
    )
    on_blind: Action = Field(
        Action.PASS,
        description="Action for a stream blind for longer than tiers.blind_limit_ms: pass, flag or cut.",
    )
