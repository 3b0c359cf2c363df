"""Which incident a FLAG belongs to: one for everything of one kind on a stream. Pure: wall time as argument.

    FLAG ──▶ opens an incident ──▶ FLAGs and signs of the same kind belong to it
                                      │  quiet for ``review.reopen_ms``, older than ``review.incident_ms``,
                                      ▼  or decided by a person
                                   the next FLAG opens another

A kind is a category together with what found it. A sign is a sample on which what was flagged still goes on.
A CUT that shadow mode withheld counts as a FLAG, and makes the incident of earlier FLAGs a withheld CUT.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from edge.decide.decider import reason_of
from edge.domain import Action, Activity, Incident, Signal, Verdict
from edge.policy import ReviewPolicy
from edge.reasons import VerdictReason

WRITE_MS: Final = 30_000
"""Least time between two notes of the same incident. A stronger verdict does not wait."""
_MOST_ENTRIES: Final = 32
"""Most signals of an incident to which known footage of further entries is added."""


def activity_of(verdict: Verdict, wall_ms: int) -> Activity:
    """The activity of an incident at its opening."""
    led = [signal for signal in verdict.signals if _is_of(signal, verdict)]
    start_ms = min((signal.pts_ms for signal in led), default=verdict.pts_ms)
    return Activity(
        verdicts=1,
        peak_score=max([verdict.score, *(signal.score for signal in led if signal.score == signal.score)]),
        start_pts_ms=min(start_ms, verdict.pts_ms),
        end_pts_ms=verdict.pts_ms,
        seen_ms=wall_ms,
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """What has become of an incident since it was noted last."""

    incident_id: str
    activity: Activity
    verdict: Verdict | None
    """The verdict that it rests on now. None: the same as before."""


@dataclass(slots=True)
class _Open:
    incident_id: str
    opened_ms: int
    verdict: Verdict
    activity: Activity
    noted_ms: int
    changed: bool = False
    new_verdict: bool = False
    stronger: bool = False

    def progress(self) -> Progress:
        return Progress(self.incident_id, self.activity, self.verdict if self.new_verdict else None)


class Activities:
    """The flagged activities of one stream. At most one incident is open for each kind."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, VerdictReason], _Open] = {}
        self._closed: list[_Open] = []
        """Incidents that take no more FLAGs, and whose newest state is not noted."""

    def opened(self, incident: Incident) -> None:
        """Takes an incident that was opened now, or before the gate's restart."""
        verdict, seen_ms = incident.verdict, incident.created_ms
        activity = incident.activity or activity_of(verdict, seen_ms)
        if (before := self._open.get(_kind(verdict))) is not None:
            self.ended(before.incident_id)
        self._open[_kind(verdict)] = _Open(
            incident.id, incident.created_ms, verdict, activity, activity.seen_ms
        )

    def incident_of(self, verdict: Verdict, wall_ms: int, review: ReviewPolicy) -> str | None:
        """The incident that a FLAG belongs to. None: it opens one."""
        one = self._open.get(_kind(verdict))
        if one is None or one.verdict.shadow is not verdict.shadow:
            return None
        quiet = wall_ms - one.activity.seen_ms > review.reopen_ms or not review.reopen_ms
        return None if quiet or wall_ms - one.opened_ms > review.incident_ms else one.incident_id

    def add_verdict(self, verdict: Verdict, wall_ms: int) -> None:
        """Adds a FLAG to the open incident of its kind, if there is one."""
        one = self._open.get(_kind(verdict))
        if one is None:
            return
        now = activity_of(verdict, wall_ms)
        one.activity = _joined(one.activity, replace(now, verdicts=one.activity.verdicts + 1))
        one.changed = True
        if verdict.action is Action.CUT and one.verdict.action is not Action.CUT:
            one.verdict, one.new_verdict, one.stronger = verdict, True, True
            return
        known = {signal.entry for signal in one.verdict.signals}
        more = [s for s in verdict.signals if _is_of(s, verdict) and s.entry and s.entry not in known]
        if more and len(one.verdict.signals) < _MOST_ENTRIES:
            one.verdict = replace(one.verdict, signals=(*one.verdict.signals, *more[:1]))
            one.new_verdict = True

    def add_sign(self, signal: Signal, wall_ms: int) -> tuple[str, bool] | None:
        """Adds a sample on which what was flagged goes on. Returns its incident and whether that is shadow,
        None where it has none."""
        one = self._open.get((signal.category, reason_of(signal.source)))
        if one is None:
            return None
        sign = Activity(one.activity.verdicts, signal.score, signal.pts_ms, signal.pts_ms, wall_ms)
        one.activity, one.changed = _joined(one.activity, sign), True
        return one.incident_id, one.verdict.shadow

    def ended(self, incident_id: str) -> None:
        """The incident takes no more: the next FLAG opens another."""
        self._closed += [one for one in self._open.values() if one.incident_id == incident_id and one.changed]
        self._open = {kind: one for kind, one in self._open.items() if one.incident_id != incident_id}

    def due(self, wall_ms: int, *, over: bool = False) -> Iterator[Progress]:
        """Yields what is to be noted now. ``over``: the stream has ended, so that everything is."""
        closed, self._closed = self._closed, []
        yield from (one.progress() for one in closed)
        for one in self._open.values():
            waited = not 0 <= wall_ms - one.noted_ms < WRITE_MS
            if one.changed and (over or one.stronger or waited):
                yield one.progress()
                one.changed = one.new_verdict = one.stronger = False
                one.noted_ms = wall_ms


def _kind(verdict: Verdict) -> tuple[str, VerdictReason]:
    return verdict.category, verdict.reason


def _is_of(signal: Signal, verdict: Verdict) -> bool:
    return signal.category == verdict.category and reason_of(signal.source) is verdict.reason


def _joined(before: Activity, now: Activity) -> Activity:
    starts = [pts for pts in (before.start_pts_ms, now.start_pts_ms) if pts >= 0]
    return Activity(
        verdicts=now.verdicts,
        peak_score=max(before.peak_score, now.peak_score),
        start_pts_ms=min(starts, default=-1),
        end_pts_ms=max(before.end_pts_ms, now.end_pts_ms),
        seen_ms=max(before.seen_ms, now.seen_ms),
    )
