"""The part of the policy about strikes and blocks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, model_validator

from edge.domain import PERMANENT_MS
from edge.policy.part import DAY_MS, PolicyPart


class StrikeScope(StrEnum):
    """Which strikes count together, and where their block holds: in every app, or only in one."""

    ALL = "all"
    APP = "app"


Link = Annotated[str, Field(pattern=r"^(stream_key|address|attribute:[^=]{1,64})$")]


class LadderPolicy(PolicyPart):
    """How long live access is blocked, by the number of strikes that count."""

    steps_ms: tuple[Annotated[int, Field(ge=1_000, le=PERMANENT_MS)], ...] = Field(
        (30 * DAY_MS, 180 * DAY_MS, PERMANENT_MS),
        min_length=1,
        max_length=16,
        description="Length of the block per strike; the last step applies to every further strike. "
        f"{PERMANENT_MS} is permanent.",
    )
    lapse_ms: int = Field(365 * DAY_MS, ge=1_000, description="A strike older than this no longer counts.")
    scope: StrikeScope = Field(
        StrikeScope.ALL,
        description="app: strikes count, and blocks hold, only in the app of the violation. For tenants that "
        "share nothing.",
    )
    per_category: bool = Field(False, description="Count only strikes of the same category.")
    link: tuple[Link, ...] = Field(
        ("stream_key",),
        max_length=16,
        description="Identities blocked together with the broadcaster: stream_key, address, attribute:NAME.",
    )

    @model_validator(mode="before")
    @classmethod
    def _stored_before_link(cls, values: Any) -> Any:
        """Stored policies of earlier versions have ``block_address`` in place of ``link``."""
        if isinstance(values, dict) and "block_address" in values:
            values = dict(values)
            if values.pop("block_address") is True:
                values["link"] = tuple(dict.fromkeys((*values.get("link", ("stream_key",)), "address")))
        return values
