"""The part of the policy that combines witnesses of several categories."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from edge.domain import Action, Severity
from edge.policy.part import PolicyPart, Probability


class Condition(PolicyPart):
    """What one witness of a rule must be."""

    category: str = Field(min_length=1, max_length=64, description="A category of `categories`.")
    at_least: Probability = Field(description="Its least score.")


class When(PolicyPart):
    """Which witnesses a rule needs: one of ``any``, or all of ``all``."""

    any: tuple[Condition, ...] = Field((), max_length=8, description="One of these is enough.")
    all: tuple[Condition, ...] = Field((), max_length=8, description="Each of these is needed.")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return self.all or self.any

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.any) is bool(self.all):
            raise ValueError("exactly one of any and all must name conditions")
        names = [condition.category for condition in self.conditions]
        if len(set(names)) != len(names):
            raise ValueError("a category is named twice")
        return self


class WitnessRule(PolicyPart):
    """Witnesses of several categories near each other on one stream, and what follows from them."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Its name in verdicts and incidents.")
    when: When = Field(description="The witnesses that it needs.")
    within_ms: int = Field(
        10_000, ge=0, le=60_000, description="Most media time between its witnesses, milliseconds."
    )
    not_in: tuple[Literal["games"], ...] = Field(
        (), max_length=1, description="games: not where `games` is set."
    )
    hold_ms: int = Field(
        0,
        ge=0,
        le=60_000,
        description="Only with `all` and `cut`: how long media is held back once some of its witnesses are "
        "there, because the others may still come, milliseconds of media time. 0: not at all.",
    )
    then: Literal[Action.FLAG, Action.CUT] = Field(description="Action that it asks for: flag or cut.")
    severity: Severity = Field(
        Severity.NORMAL, description="severe: a cut by it blocks permanently, even the first."
    )
    urgent: bool = Field(
        False, description="Whether what it asks for is urgent: a person should look at once."
    )

    @model_validator(mode="after")
    def _holds_for_others(self) -> Self:
        if self.hold_ms and (self.then is not Action.CUT or len(self.when.all) < 2):
            raise ValueError("hold_ms is for rules that need several witnesses (all) and then cut")
        if self.hold_ms > self.within_ms:
            raise ValueError("hold_ms is longer than within_ms, after which no other witness counts")
        return self


def explain_rule(rule: WitnessRule) -> str:
    """What a rule does, in words for people."""
    joint = " and " if rule.when.all else " or "
    needs = joint.join(f"{one.category} from {one.at_least:g}" for one in rule.when.conditions)
    near = f" within {rule.within_ms / 1000:g} s" if len(rule.when.all) > 1 else ""
    games = ", but not in games" if rule.not_in else ""
    urgent = ", urgent" if rule.urgent else ""
    holds = f", holds media back for {rule.hold_ms / 1000:g} s after the first" if rule.hold_ms else ""
    return f"rule {rule.name}: {needs}{near}: {rule.then}, {rule.severity}{urgent}{holds}{games}"


_SECOND_WITNESS_MS: Final = 5_000
"""The goal for both witnesses of an attack. Servers hold media back for longer than this."""


def attack_rules(
    gunfire: tuple[float, float], firearm: tuple[float, float], scream: float
) -> tuple[WitnessRule, ...]:
    """The default rules. ``gunfire`` and ``firearm`` have a usual and a lower threshold."""

    def all_of(**at_least: float) -> When:
        return When(all=tuple(Condition(category=name, at_least=score) for name, score in at_least.items()))

    return (
        WitnessRule(
            name="gunfire-and-firearm",
            when=all_of(gunfire=gunfire[0], firearm=firearm[0]),
            not_in=("games",),
            hold_ms=_SECOND_WITNESS_MS,
            then=Action.CUT,
            severity=Severity.SEVERE,
            urgent=True,
        ),
        WitnessRule(
            name="gunfire-scream-and-firearm",
            when=all_of(gunfire=gunfire[1], scream=scream, firearm=firearm[1]),
            not_in=("games",),
            then=Action.CUT,
            severity=Severity.SEVERE,
            urgent=True,
        ),
    )
