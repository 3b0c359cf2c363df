"""Compares simulated decisions with the labels. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.domain import Action
from edge.tuning.labels import Stretch, Truth
from edge.tuning.simulate import SimulatedDecision


@dataclass(frozen=True, slots=True)
class ViolentEvent:
    """One violent stretch."""

    flag_ms: int | None
    """Time from its beginning to its FLAG (or CUT). It is 0 if an episode flagged earlier reached into it."""
    cut_ms: int | None
    """Time from its beginning to its CUT."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one file."""

    group: str
    events: tuple[ViolentEvent, ...]
    calm_ms: int
    false_flags: int
    """Episodes whose FLAG came in calm footage. A CUT without earlier FLAG counts as one too."""
    false_cuts: int
    alert_ms: int
    """Time in alert tier."""
    duration_ms: int


def outcome(
    group: str,
    truth: Truth,
    done: Iterable[SimulatedDecision],
    grace_ms: int,
    alert_ms: int,
    duration_ms: int,
) -> Outcome:
    """Computes the outcome of one file. Decisions up to ``grace_ms`` after a violent stretch still count for
    it."""
    done = list(done)
    calm = [act for act in done if _within(act.pts_ms, truth.calm)]
    return Outcome(
        group=group,
        events=tuple(_event(stretch, done, grace_ms) for stretch in truth.violent),
        calm_ms=truth.calm_ms,
        false_flags=sum(act.action is Action.FLAG or not act.in_episode for act in calm),
        false_cuts=sum(act.action is Action.CUT for act in calm),
        alert_ms=alert_ms,
        duration_ms=duration_ms,
    )


def _event(stretch: Stretch, done: list[SimulatedDecision], grace_ms: int) -> ViolentEvent:
    start, end = stretch
    end += grace_ms
    due = [act for act in done if act.pts_ms <= end and max(act.pts_ms, act.until_ms) >= start]
    flags = [max(act.pts_ms - start, 0) for act in due]
    cuts = [act.pts_ms - start for act in done if act.action is Action.CUT and start <= act.pts_ms <= end]
    return ViolentEvent(min(flags, default=None), min(cuts, default=None))


def _within(pts_ms: int, stretches: Iterable[Stretch]) -> bool:
    return any(start <= pts_ms < end for start, end in stretches)
