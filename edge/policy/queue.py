"""The part of the policy that says in which order people look at incidents, and how they share them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from edge.policy.part import PolicyPart

Weight = Annotated[float, Field(ge=0.0, le=1000.0, allow_inf_nan=False)]


class PriorityWeights(PolicyPart):
    """How much each part of a priority weighs. Only their proportions count."""

    severity: Weight = Field(
        35.0,
        description="It is severe: its category, a rule or a critical bank says so, it is urgent, or "
        "somebody has escalated it. What is not counts half.",
    )
    score: Weight = Field(20.0, description="Its highest score so far.")
    live: Weight = Field(15.0, description="Its stream is on air and is not being cut.")
    viewers: Weight = Field(
        10.0,
        description="How many watch a live stream, if the server says so: in full from `queue.viewers` on.",
    )
    on_air: Weight = Field(
        5.0, description="How long a live stream has been on air: in full from `queue.on_air_ms` on."
    )
    waiting: Weight = Field(10.0, description="How long it has waited: in full from `queue.waiting_ms` on.")
    history: Weight = Field(
        5.0, description="Strikes of its broadcaster that count: in full from `queue.strikes` on."
    )

    @property
    def total(self) -> float:
        return float(sum(getattr(self, name) for name in type(self).model_fields))

    @model_validator(mode="after")
    def _something_weighs(self) -> Self:
        if self.total <= 0.0:
            raise ValueError("one of the weights must be over 0")
        return self


class QueuePolicy(PolicyPart):
    """The queue of people who review: its order, and how they share it."""

    weights: PriorityWeights = Field(
        PriorityWeights(), description="What each part of an incident counts in the order."
    )
    waiting_ms: int = Field(
        1_800_000, ge=1_000, le=604_800_000, description="Wait from which `weights.waiting` counts in full."
    )
    overdue_ms: int = Field(
        43_200_000,
        ge=0,
        le=2_592_000_000,
        description="What has waited for this long counts as severe and live, so that nothing waits for "
        "ever; 0: never.",
    )
    on_air_ms: int = Field(
        3_600_000,
        ge=1_000,
        le=604_800_000,
        description="Time on air from which `weights.on_air` counts in full.",
    )
    viewers: int = Field(
        1_000,
        ge=1,
        le=1_000_000_000,
        description="Viewers from which `weights.viewers` counts in full.",
    )
    strikes: int = Field(3, ge=1, le=100, description="Strikes from which `weights.history` counts in full.")
    language: str = Field(
        "",
        pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$",
        description="Language of the streams, such as `ar` or `pt-BR`, so that people can choose incidents "
        "that they understand. The gate cannot know it. For overrides in `apps` and `tenants`.",
    )
    claims: int = Field(
        10, ge=1, le=1_000, description="Most incidents that one person may have claimed at a time."
    )
    undo_ms: int = Field(
        60_000,
        ge=0,
        le=600_000,
        description="How long a person can undo their decision; 0: not at all.",
    )
