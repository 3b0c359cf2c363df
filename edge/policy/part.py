"""What every part of the policy is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

DAY_MS = 86_400_000

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class PolicyPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
