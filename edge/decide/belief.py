"""How strongly a category is believed on one stream, from scores over seconds. Pure: time is an argument.

Single windows are over-confident, above all the first of a stream, which hold one or two samples. So their
log-odds are gathered: each counts for the media that it adds, old ones fade, and the sum is held against
media that said nothing. A score over a limit is then a sequential test (Page 1954, with forgetting): the
limit sets how often calm footage passes it by chance.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_LIMIT = 20.0
"""Largest log-odds in calculations. It keeps them finite."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class FalseAlarms(BaseModel):
    """How often calm footage passes a limit: ``exp(offset - slope * log-odds of the limit)`` an hour.

    Fitted to calm footage that no model learnt from. It says little far beyond that footage's hours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = Field(gt=0.0, le=100.0, allow_inf_nan=False)
    offset: Finite
    hours: float = Field(gt=0.0, allow_inf_nan=False)
    """Hours of that footage."""

    def limit(self, an_hour: float) -> float:
        """The score that calm footage passes ``an_hour`` times an hour. ``an_hour`` is over 0."""
        return _probability((self.offset - math.log(an_hour)) / self.slope)

    def an_hour(self, limit: float) -> float:
        """How often an hour calm footage passes a score."""
        return math.exp(min(self.offset - self.slope * _log_odds(limit), 700.0))


class BeliefSpec(BaseModel):
    """What decides how log-odds are gathered. It belongs to a model's category."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    warm_up_samples: int = Field(3, ge=1, le=256)
    """Windows with fewer samples say nothing."""
    neutral_ms: int = Field(2000, ge=1, le=60_000)
    """Media that said ``neutral``, against which all else is held."""
    neutral: float = Field(-2.0, ge=-_LIMIT, le=_LIMIT)
    """Log-odds of media of which nothing is known."""
    fade_ms: int = Field(3300, ge=100, le=60_000)
    """Media time after which a window counts for a third of what it did (1 / e)."""
    step_ms: int = Field(450, ge=10, le=10_000)
    """The most media that one window adds."""
    most: float = Field(5.0, gt=0.0, le=_LIMIT)
    """Log-odds beyond which a single window says no more."""
    false_alarms: FalseAlarms | None = None

    @model_validator(mode="after")
    def _neutral_is_possible(self) -> Self:
        if abs(self.neutral) > self.most:
            raise ValueError(f"neutral {self.neutral} is beyond most {self.most}")
        return self


class Belief:
    """The gathered log-odds of one category on one stream. It keeps four numbers, however long it runs."""

    def __init__(self, spec: BeliefSpec) -> None:
        self._spec = spec
        self._said = 0.0
        """Sum of log-odds, each times the media in milliseconds that it counts for."""
        self._heard_ms = 0.0
        """Media that said something, as far as it has not faded."""
        self._pts_ms: int | None = None
        self._begin_pts_ms: int | None = None

    @property
    def score(self) -> float:
        """The belief as a probability, 0 to 1."""
        spec = self._spec
        return _probability(
            (spec.neutral_ms * spec.neutral + self._said) / (spec.neutral_ms + self._heard_ms)
        )

    @property
    def begin_pts_ms(self) -> int | None:
        """Media time from which on windows spoke for the category. None if it is not believed at all."""
        return self._begin_pts_ms

    def add(self, pts_ms: int, score: float, samples: int) -> float:
        """Takes a window's calibrated probability and its number of samples. Returns the new belief.

        NaN and windows in warm-up say nothing, but time passes. A time that goes back starts anew.
        """
        spec = self._spec
        passed = self._pass_to(pts_ms)
        if samples >= spec.warm_up_samples and not math.isnan(score):
            said = min(max(_log_odds(score), -spec.most), spec.most)
            self._said += said * passed
            self._heard_ms += passed
        if self._said <= spec.neutral * self._heard_ms:
            self._begin_pts_ms = None
        elif self._begin_pts_ms is None:
            self._begin_pts_ms = pts_ms
        return self.score

    def forget(self) -> None:
        """Starts anew, as after a gap."""
        self._said = self._heard_ms = 0.0
        self._pts_ms = self._begin_pts_ms = None

    def _pass_to(self, pts_ms: int) -> float:
        """Lets time pass. Returns the media in milliseconds that a window at this time adds."""
        if self._pts_ms is not None and pts_ms < self._pts_ms:
            self.forget()
        before, self._pts_ms = self._pts_ms, pts_ms
        if before is None:
            return 0.0
        kept = math.exp(-(pts_ms - before) / self._spec.fade_ms)
        self._said *= kept
        self._heard_ms *= kept
        return float(min(pts_ms - before, self._spec.step_ms))


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -_LIMIT), _LIMIT)))


def _log_odds(probability: float) -> float:
    if probability <= 0.0:
        return -_LIMIT
    return _LIMIT if probability >= 1.0 else math.log(probability / (1.0 - probability))
