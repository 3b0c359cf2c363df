"""Computes the report's figures from the ledger's rows, one at a time. Pure; names no broadcaster or
operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.domain import PERMANENT_MS, Action, AppealState, IncidentState
from edge.ledger.base import GATE
from edge.ledger.unreviewed import NOBODY
from edge.report.figures import PerHours, Share, Times, per_hours, share, times

MANUAL = "manual"
_HOUR_MS = 3_600_000
_REVIEWED = frozenset({IncidentState.CONFIRMED.value, IncidentState.OVERTURNED.value})


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What people decided about the gate's decisions."""

    reviewed: Share
    """Share of all decisions."""
    overturned: Share
    """Share of the reviewed decisions."""
    time_to_review: Times


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one app, category or source."""

    flags: int
    cuts: int
    overturned_cuts: Share
    """Share of the reviewed cuts."""


@dataclass(frozen=True, slots=True)
class AppUse:
    streams: int
    stream_hours: float
    cuts_per_1000_hours: PerHours


@dataclass(frozen=True, slots=True)
class UsageFigures:
    streams: int
    """Publishes that were admitted and watched."""
    stream_hours: float
    refused: Mapping[str, int]
    """Publishes that were refused, by reason."""
    flags_per_1000_hours: PerHours
    cuts_per_1000_hours: PerHours
    by_app: Mapping[str, AppUse]


@dataclass(frozen=True, slots=True)
class CutFigures:
    cuts: int
    confirmed: Share
    """Cuts confirmed by now, as a share of all cuts."""
    alarms: Share
    """Cuts without proof within the limit, as a share of all cuts."""
    time_to_cut: Times
    """Time from the verdict to the proof that the publisher is gone."""
    without_verdict: Mapping[str, int]
    """Further cut streams by reason: ``blocked`` elsewhere, ``degraded``, ``blind``."""
    reviews: Reviewed


@dataclass(frozen=True, slots=True)
class BlockFigures:
    """Blocks counted by decision: one decision may block a broadcaster, a key and an address."""

    made: int
    permanent: int
    by_source: Mapping[str, int]
    """``detector``, ``match``, ``manual`` …"""
    by_category: Mapping[str, int]
    lifted: Share
    """Blocks lifted for any reason, as a share of all."""
    provisional: int
    """Blocks that began provisional."""
    lapsed: Share
    """Provisional blocks that nobody reviewed in time, as a share of those that began provisional."""


@dataclass(frozen=True, slots=True)
class StrikeFigures:
    made: int
    """Violations that count. What is part of another's occasion is none."""
    pardoned: Share
    """Share of them that a person took back, or that lapsed without a review."""
    provisional: int
    """Those that wait for a review."""


@dataclass(frozen=True, slots=True)
class AppealFigures:
    filed: int
    granted: Share
    """Share of the decided appeals."""
    denied: int
    open: int
    time_to_decide: Times


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that began in the period, in its state at ``made_ms``."""

    since_ms: int
    until_ms: int
    made_ms: int
    usage: UsageFigures
    flags: int
    flag_reviews: Reviewed
    cuts: CutFigures
    shadow_flags: int
    """Flags decided in shadow mode: recorded, but not enforced."""
    shadow_cuts: int
    shadow_reviews: Reviewed
    """Of shadow flags and cuts together. How often they were overturned says whether to act on them."""
    strikes: StrikeFigures
    blocks: BlockFigures
    appeals: AppealFigures
    policy_changes: int
    by_category: Mapping[str, Group]
    by_source: Mapping[str, Group]
    by_app: Mapping[str, Group]


@dataclass(slots=True)
class _Reviews:
    all: int = 0
    reviewed: int = 0
    overturned: int = 0
    took_ms: list[int] = field(default_factory=list)

    def count_review(self, row: Mapping[str, Any]) -> None:
        self.all += 1
        if row["state"] in _REVIEWED:
            self.reviewed += 1
            self.overturned += row["state"] == IncidentState.OVERTURNED
            if row["reviewed_ms"] is not None:
                self.took_ms.append(max(0, row["reviewed_ms"] - row["created_ms"]))

    def done(self) -> Reviewed:
        return Reviewed(
            share(self.reviewed, self.all), share(self.overturned, self.reviewed), times(self.took_ms)
        )


@dataclass(slots=True)
class _Group:
    flags: _Reviews = field(default_factory=_Reviews)
    cuts: _Reviews = field(default_factory=_Reviews)


@dataclass(slots=True)
class _Decision:
    """The blocks that one decision made."""

    source: str
    category: str
    permanent: bool = False
    standing: bool = False
    provisional: bool = False
    lapsed: bool = False


class Counting:
    """Counts rows of the period, taken in any order. Each row maps column names to values."""

    def __init__(self) -> None:
        self._apps: dict[str, list[int]] = {}
        self._refused: dict[str, int] = {}
        self._groups: dict[str, dict[str, _Group]] = {"category": {}, "reason": {}, "app": {}}
        self._all = _Group()
        self._shadow_reviews = _Reviews()
        self._strikes = self._pardoned = self._provisional = 0
        self._shadow = {Action.FLAG.value: 0, Action.CUT.value: 0}
        self._confirmed = 0
        self._alarms = 0
        self._cut_ms: list[int] = []
        self._without_verdict: dict[str, int] = {}
        self._decisions: dict[str, _Decision] = {}
        self._appeals = dict.fromkeys((state.value for state in AppealState), 0)
        self._appeal_ms: list[int] = []
        self._policies = 0

    def usage(self, detail: Mapping[str, Any]) -> None:
        """Adds a gate's usage figures of a few minutes."""
        apps = [
            (str(app), int(values["streams"]), int(values["stream_ms"]), dict(values["refused"]))
            for app, values in detail["apps"].items()
        ]
        for app, streams, stream_ms, refused in apps:
            used = self._apps.setdefault(app, [0, 0])
            used[0] += streams
            used[1] += stream_ms
            for reason, count in refused.items():
                self._refused[reason] = self._refused.get(reason, 0) + int(count)

    def stream_cut(self, detail: Mapping[str, Any]) -> None:
        """Adds a cut without a verdict."""
        reason = str(detail["reason"])
        self._without_verdict[reason] = self._without_verdict.get(reason, 0) + 1

    def incident(self, row: Mapping[str, Any]) -> None:
        if row["shadow"]:
            self._shadow[row["action"]] = self._shadow.get(row["action"], 0) + 1
            self._shadow_reviews.count_review(row)
            return
        cut = row["action"] == Action.CUT
        groups = [self._all]
        for column, known in self._groups.items():
            groups.append(known.setdefault(row[column] or "none", _Group()))
        for group in groups:
            (group.cuts if cut else group.flags).count_review(row)
        if cut:
            self._alarms += row["cut_unconfirmed_ms"] is not None
            if row["cut_confirmed_ms"] is not None:
                self._confirmed += 1
                self._cut_ms.append(max(0, row["cut_confirmed_ms"] - row["created_ms"]))

    def strike(self, row: Mapping[str, Any]) -> None:
        if row["part_of"] is not None:
            return
        self._strikes += 1
        self._pardoned += row["pardoned_ms"] is not None
        self._provisional += row["pardoned_ms"] is None and row["review_by_ms"] is not None

    def block(self, row: Mapping[str, Any]) -> None:
        key = row["incident_id"] or row["strike_id"] or row["id"]
        by_gate = row["created_by"] == GATE
        known = self._decisions.setdefault(
            key if by_gate else f"{MANUAL} {key}",
            _Decision(row["reason"] if by_gate else MANUAL, row["category"] or "none"),
        )
        known.permanent |= row["until_ms"] >= PERMANENT_MS
        known.standing |= row["lifted_ms"] is None
        known.provisional |= row["full_until_ms"] is not None
        known.lapsed |= row["lift_reason"] == NOBODY

    def appeal(self, row: Mapping[str, Any]) -> None:
        self._appeals[row["state"]] = self._appeals.get(row["state"], 0) + 1
        if row["decided_ms"] is not None:
            self._appeal_ms.append(max(0, row["decided_ms"] - row["filed_ms"]))

    def policy(self) -> None:
        self._policies += 1

    def done(self, since_ms: int, until_ms: int, made_ms: int) -> Report:
        cuts, flags = self._all.cuts, self._all.flags
        hours = sum(stream_ms for _, stream_ms in self._apps.values()) / _HOUR_MS
        return Report(
            since_ms=since_ms,
            until_ms=until_ms,
            made_ms=made_ms,
            usage=UsageFigures(
                streams=sum(streams for streams, _ in self._apps.values()),
                stream_hours=hours,
                refused=_sorted(self._refused),
                flags_per_1000_hours=per_hours(flags.all, hours),
                cuts_per_1000_hours=per_hours(cuts.all, hours),
                by_app={
                    app: AppUse(
                        streams,
                        stream_ms / _HOUR_MS,
                        per_hours(self._cuts_of(app), stream_ms / _HOUR_MS),
                    )
                    for app, (streams, stream_ms) in sorted(self._apps.items())
                },
            ),
            flags=flags.all,
            flag_reviews=flags.done(),
            cuts=CutFigures(
                cuts=cuts.all,
                confirmed=share(self._confirmed, cuts.all),
                alarms=share(self._alarms, cuts.all),
                time_to_cut=times(self._cut_ms),
                without_verdict=_sorted(self._without_verdict),
                reviews=cuts.done(),
            ),
            shadow_flags=self._shadow[Action.FLAG.value],
            shadow_cuts=self._shadow[Action.CUT.value],
            shadow_reviews=self._shadow_reviews.done(),
            strikes=StrikeFigures(self._strikes, share(self._pardoned, self._strikes), self._provisional),
            blocks=self._blocks(),
            appeals=self._appeals_done(),
            policy_changes=self._policies,
            by_category=_groups(self._groups["category"]),
            by_source=_groups(self._groups["reason"]),
            by_app=_groups(self._groups["app"]),
        )

    def _cuts_of(self, app: str) -> int:
        group = self._groups["app"].get(app or "none")
        return 0 if group is None else group.cuts.all

    def _blocks(self) -> BlockFigures:
        made = self._decisions.values()
        by_source: dict[str, int] = {}
        by_category: dict[str, int] = {}
        for each in made:
            by_source[each.source] = by_source.get(each.source, 0) + 1
            by_category[each.category] = by_category.get(each.category, 0) + 1
        provisional = sum(each.provisional for each in made)
        return BlockFigures(
            made=len(made),
            permanent=sum(each.permanent for each in made),
            by_source=_sorted(by_source),
            by_category=_sorted(by_category),
            lifted=share(sum(not each.standing for each in made), len(made)),
            provisional=provisional,
            lapsed=share(sum(each.lapsed and each.provisional for each in made), provisional),
        )

    def _appeals_done(self) -> AppealFigures:
        granted = self._appeals[AppealState.GRANTED.value]
        denied = self._appeals[AppealState.DENIED.value]
        return AppealFigures(
            filed=sum(self._appeals.values()),
            granted=share(granted, granted + denied),
            denied=denied,
            open=self._appeals[AppealState.OPEN.value],
            time_to_decide=times(self._appeal_ms),
        )


def _groups(groups: Mapping[str, _Group]) -> dict[str, Group]:
    return {
        name: Group(group.flags.all, group.cuts.all, share(group.cuts.overturned, group.cuts.reviewed))
        for name, group in sorted(groups.items())
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """Highest count first."""
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
