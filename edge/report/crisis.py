"""The after-action report of a crisis: what was decided when, which copies were found, how soon. Pure.

It names the people who decided, and no broadcaster.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.crisis import Crisis
from edge.ledger import AuditRow
from edge.ledger.audit import GATE_NAME, ROWS
from edge.ledger.crises import MOST_MATCHES, CrisisMatch
from edge.report.figures import Times, times


@dataclass(frozen=True, slots=True)
class LogLine:
    """One decision, or one piece of footage."""

    wall_ms: int
    who: str
    what: str
    gate: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CrisisReport:
    """A crisis so far, or whole once it has ended. Wall times are milliseconds since the Unix epoch."""

    name: str
    drill: bool
    """Whether all of it is an exercise."""
    state: str
    reason: str
    made_ms: int
    declared_ms: int
    declared_by: str
    begun_ms: int | None
    confirmed_by: str | None
    until_ms: int
    ended_ms: int | None
    ended_by: str | None
    end_reason: str | None
    apps: tuple[str, ...]
    patch: Mapping[str, Any]
    share: bool
    bank: str
    given: int
    """Clips, stills and URLs that people gave."""
    added: int
    """Those of them that became known footage."""
    hashes: int
    time_to_known: Times
    """From the first byte of a file, or the start of a pull, to the entry in the bank."""
    copies: int
    """Incidents that the bank led to."""
    copies_cut_short: bool
    """There are more of them: these are the newest."""
    cuts: int
    overturned: int
    by_variant: Mapping[str, int]
    by_app: Mapping[str, int]
    by_gate: Mapping[str, int]
    time_to_cut: Times
    """From the verdict to the proof that the publisher is gone."""
    first_given_ms: int | None
    first_cut_ms: int | None
    """When the first copy was proven to be gone."""
    log: tuple[LogLine, ...]


def crisis_report(
    crisis: Crisis, log: Sequence[AuditRow], matches: Sequence[CrisisMatch], made_ms: int
) -> CrisisReport:
    """The report of a crisis from its log and the incidents of its bank."""
    lines = tuple(_line(row) for row in log)
    added = [line for line in lines if line.what == "crisis_added"]
    given = [line.wall_ms for line in lines if line.what == "crisis_given"]
    proven = [match for match in matches if match.cut and match.cut_confirmed_ms is not None]
    return CrisisReport(
        name=crisis.name,
        drill=crisis.drill,
        state=crisis.state.value,
        reason=crisis.reason,
        made_ms=made_ms,
        declared_ms=crisis.declared_ms,
        declared_by=crisis.declared_by,
        begun_ms=crisis.begun_ms,
        confirmed_by=crisis.confirmed_by,
        until_ms=crisis.until_ms,
        ended_ms=crisis.ended_ms,
        ended_by=crisis.ended_by,
        end_reason=crisis.end_reason,
        apps=crisis.apps,
        patch=crisis.patch,
        share=crisis.share,
        bank=crisis.bank,
        given=len(given),
        added=len(added),
        hashes=sum(_number(line, "hashes") for line in added),
        time_to_known=times(_number(line, "took_ms") for line in added),
        copies=len(matches),
        copies_cut_short=len(matches) >= MOST_MATCHES,
        cuts=sum(match.cut for match in matches),
        overturned=sum(match.overturned for match in matches),
        by_variant=_counted(match.variant for match in matches),
        by_app=_counted(match.app for match in matches),
        by_gate=_counted(match.gate for match in matches),
        time_to_cut=times(max(0, (m.cut_confirmed_ms or 0) - m.created_ms) for m in proven),
        first_given_ms=min(given, default=None),
        first_cut_ms=min((match.cut_confirmed_ms or 0 for match in proven), default=None),
        log=lines,
    )


def _line(row: AuditRow) -> LogLine:
    try:
        detail = json.loads(row.detail)
    except (ValueError, RecursionError):
        detail = {}
    detail = dict(detail) if isinstance(detail, dict) else {}
    detail.pop(ROWS, None)
    return LogLine(row.wall_ms, row.who, row.what, str(detail.pop(GATE_NAME, "")), detail)


def _number(line: LogLine, name: str) -> int:
    value = line.detail.get(name)
    return value if isinstance(value, int) else 0


def _counted(words: Any) -> dict[str, int]:
    return dict(Counter(words).most_common())
