"""The part of the policy about one category: its thresholds, and what it may ask for alone."""

from __future__ import annotations

from typing import Any, Final, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from edge.domain import Action, Severity
from edge.policy.belief import BeliefPolicy
from edge.policy.part import PolicyPart, Probability

_OUTDATED: Final = ("flag_samples", "cut_samples", "cut_span_ms")


class CategoryPolicy(PolicyPart):
    """Thresholds of one category, and how the scores of windows are gathered before they count.

    `raise_at` and `release_at` are held against single scores. `flag_at` and `cut_at` are held against the
    belief that is gathered from a motion model's windows, and against the scores of other models.
    """

    _outdated: tuple[str, ...] = PrivateAttr(())

    enabled: bool = Field(
        True, description="Whether it is judged. Where no category of a model is, the model costs nothing."
    )
    alone: Action = Field(
        Action.CUT,
        description="The strongest action that it may ask for alone: cut, flag or pass. Rules count it as a "
        "witness all the same.",
    )
    raise_at: Probability = Field(0.2, description="Score from which a stream is sampled densely.")
    flag_at: Probability = Field(0.5, description="Score from which a person should look.")
    cut_at: Probability = Field(0.85, description="Score from which the stream is cut.")
    release_at: Probability = Field(
        0.15,
        description="Score and belief below which a raised or flagged stream is calm again (hysteresis).",
    )
    belief: BeliefPolicy = Field(
        BeliefPolicy(), description="How the scores of a motion model are gathered over seconds."
    )
    false_flags_per_hour: float | None = Field(
        None,
        gt=0.0,
        le=100_000.0,
        allow_inf_nan=False,
        description="Most false flags an hour of calm footage, by `belief.false_alarms`. Where that asks for "
        "more than `flag_at`, it counts instead.",
    )
    severity: Severity = Field(
        Severity.NORMAL, description="severe: a violation is blocked permanently, even the first."
    )
    urgent: bool = Field(
        False, description="Whether what it asks for is urgent: a person should look at once."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.release_at <= self.raise_at <= self.flag_at <= self.cut_at:
            raise ValueError("thresholds must be ordered: release_at <= raise_at <= flag_at <= cut_at")
        return self

    @model_validator(mode="after")
    def _rate_is_measured(self) -> Self:
        if self.false_flags_per_hour is not None and self.belief.false_alarms is None:
            raise ValueError("false_flags_per_hour needs belief.false_alarms, which the model's pack gives")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _stored_before_belief(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Stored policies of earlier versions count samples in a row over a threshold instead."""
        if not isinstance(values, dict):
            return handler(values)
        policy = handler({key: value for key, value in values.items() if key not in _OUTDATED})
        policy._outdated = tuple(name for name in _OUTDATED if name in values)
        return policy

    @property
    def flag_limit(self) -> float:
        """The belief, or the score of another model, from which a person should look."""
        if self.false_flags_per_hour is None or self.belief.false_alarms is None:
            return self.flag_at
        return max(self.flag_at, self.belief.false_alarms.limit(self.false_flags_per_hour))

    @property
    def outdated(self) -> tuple[str, ...]:
        """Fields of earlier versions that were given, and that nothing follows any more."""
        return self._outdated


def rates_of(part: CategoryPolicy) -> dict[str, float | None]:
    """How often an hour calm footage passes a category's limits. None where that is not measured."""
    curve = part.belief.false_alarms
    return {
        name: None if curve is None or limit >= 1.0 else float(f"{curve.an_hour(limit):.2g}")
        for name, limit in (("flags_an_hour", part.flag_limit), ("cuts_an_hour", part.cut_at))
    }


def explain_category(name: str, part: CategoryPolicy) -> str:
    """What a category does alone, in words for people."""
    if not part.enabled:
        return f"category {name}: not judged"
    rates = rates_of(part)
    flag_rate, cut_rate = (
        "" if rate is None else f" ({rate:g} an hour of calm footage like the measured)"
        for rate in (rates["flags_an_hour"], rates["cuts_an_hour"])
    )
    flags = f"flag from {round(part.flag_limit, 4):g}{flag_rate}"
    does = {
        Action.PASS: "never acts alone, a witness for rules",
        Action.FLAG: f"{flags}, never cuts alone",
        Action.CUT: f"{flags}, cut from {part.cut_at:g}{cut_rate}, {part.severity}",
    }[part.alone]
    return f"category {name}: {does}{', urgent' if part.urgent else ''}"
