"""How the scores of a motion model's windows are gathered over seconds.

It is a part of the policy, and of a model's manifest.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from edge.policy.part import PolicyPart

MOST_LOG_ODDS = 20.0
"""Largest log-odds in calculations. It keeps them finite."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


def probability_of(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -MOST_LOG_ODDS), MOST_LOG_ODDS)))


def log_odds_of(probability: float) -> float:
    if probability <= 0.0:
        return -MOST_LOG_ODDS
    return MOST_LOG_ODDS if probability >= 1.0 else math.log(probability / (1.0 - probability))


class FalseAlarms(PolicyPart):
    """How often calm footage passes a limit: ``exp(offset - slope * log-odds of the limit)`` an hour.

    Fitted to calm footage that no model learnt from. It says little far beyond that footage's hours.
    """

    slope: float = Field(
        gt=0.0, le=100.0, allow_inf_nan=False, description="How fast false flags become rarer with the limit."
    )
    offset: Finite = Field(description="Natural logarithm of the false flags an hour at a limit of 0.5.")
    hours: float = Field(gt=0.0, allow_inf_nan=False, description="Hours of that footage.")

    def limit(self, an_hour: float) -> float:
        """The score that calm footage passes ``an_hour`` times an hour. ``an_hour`` is over 0."""
        return probability_of((self.offset - math.log(an_hour)) / self.slope)

    def an_hour(self, limit: float) -> float:
        """How often an hour calm footage passes a score."""
        return math.exp(min(self.offset - self.slope * log_odds_of(limit), 700.0))


class BeliefPolicy(PolicyPart):
    """How the scores of a motion model's windows are gathered over seconds into a belief, which is what is
    held against `flag_at` and `cut_at`. Witnesses of frames and audio count by themselves: what persists is
    in their scores already."""

    warm_up_samples: int = Field(3, ge=1, le=256, description="Windows with fewer samples say nothing.")
    neutral_ms: int = Field(
        500,
        ge=1,
        le=60_000,
        description="Media that said `neutral`, against which all else is held, milliseconds. More is slower "
        "and surer.",
    )
    neutral: float = Field(
        -2.0,
        ge=-MOST_LOG_ODDS,
        le=MOST_LOG_ODDS,
        description="Log-odds of media of which nothing is known. A belief that falls to it starts anew.",
    )
    fade_ms: int = Field(
        4000,
        ge=100,
        le=60_000,
        description="Media time after which a window counts for a third of what it did, milliseconds.",
    )
    step_ms: int = Field(
        450, ge=10, le=10_000, description="The most media that one window adds, milliseconds."
    )
    most: float = Field(
        5.0, gt=0.0, le=MOST_LOG_ODDS, description="Log-odds beyond which a single window says no more."
    )
    false_alarms: FalseAlarms | None = Field(
        None, description="How often calm footage passes a limit, as it was measured for the model."
    )

    @model_validator(mode="after")
    def _neutral_is_possible(self) -> Self:
        if abs(self.neutral) > self.most:
            raise ValueError(f"neutral {self.neutral} is beyond most {self.most}")
        return self

    @property
    def highest(self) -> float:
        """The belief that nothing exceeds, however long windows say the most."""
        heard_ms = self.fade_ms + self.step_ms
        said = self.neutral_ms * self.neutral + heard_ms * self.most
        return probability_of(said / (self.neutral_ms + heard_ms))
