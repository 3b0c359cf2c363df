"""The incidents that wait for people: what their order rests on, read in bulk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from edge.domain import Incident, IncidentState, Publish, Verdict
from edge.ledger import records
from edge.ledger.base import PAGE, LedgerBase
from edge.ledger.incidents import UNDECIDED
from edge.ledger.tables import incidents, strikes
from edge.ledger.unknown_rows import readable
from edge.names import compared

_STATES = tuple(state.value for state in UNDECIDED)


@dataclass(frozen=True, slots=True)
class WaitingIncident:
    """What of an incident says how urgent it is, and for whom. A queue may hold very many of them."""

    id: str
    stream_id: str
    publish: Publish
    verdict: Verdict
    """Without trace, and with the deciding signal alone."""
    created_ms: int
    state: IncidentState
    score: float
    """The highest so far."""
    claimed_by: str | None
    claimed_until_ms: int
    reviewed_by: str | None
    """Who escalated it, if it is escalated."""
    first_confirmed_by: str | None
    admitted_ms: int | None

    @classmethod
    def of(cls, incident: Incident) -> Self:
        """What waits of a whole incident."""
        peak = 0.0 if incident.activity is None else incident.activity.peak_score
        review = incident.review
        return cls(
            incident.id,
            incident.stream_id,
            incident.publish,
            _bare(incident.verdict),
            incident.created_ms,
            incident.state,
            max(peak, incident.verdict.score),
            review.claimed_by,
            review.claimed_until_ms or 0,
            review.reviewed_by,
            review.first_confirmed_by,
            incident.admitted_ms,
        )

    def is_claimed(self, wall_ms: int) -> bool:
        """Whether somebody holds it at that time."""
        return self.claimed_by is not None and wall_ms < self.claimed_until_ms


@dataclass(frozen=True, slots=True)
class WaitingOfState:
    """How many incidents of a state wait, and since when the oldest one does."""

    incidents: int
    oldest_ms: int | None
    """Wall time at which it was opened; None where there is none."""


class WaitingIncidents(LedgerBase):
    def waiting_incidents(
        self, limit: int, before_id: str | None = None
    ) -> tuple[tuple[WaitingIncident, ...], str | None]:
        """Incidents that nobody has decided, newest first, and the id before which to go on; None at the
        end."""
        query = sa.select(incidents).where(incidents.c.state.in_(_STATES))
        if before_id is not None:
            query = query.where(incidents.c.id < before_id)
        with self._database.read("read what waits") as connection:
            rows = connection.execute(query.order_by(incidents.c.id.desc()).limit(limit)).all()
            found = tuple(readable(connection, rows, _from_row))
        return found, rows[-1].id if len(rows) == limit else None

    def waiting_by_state(self) -> dict[IncidentState, WaitingOfState]:
        """How much waits in each state of the fleet's undecided incidents."""
        query = (
            sa.select(incidents.c.state, sa.func.count(), sa.func.min(incidents.c.created_ms))
            .where(incidents.c.state.in_(_STATES))
            .group_by(incidents.c.state)
        )
        with self._database.read("count what waits") as connection:
            counted = {row[0]: WaitingOfState(row[1], row[2]) for row in connection.execute(query)}
        return {state: counted.get(state.value, WaitingOfState(0, None)) for state in UNDECIDED}

    def incidents_of(self, ids: Collection[str]) -> dict[str, Incident]:
        """At most a thousand incidents by their ids. Those that are not there are left out."""
        query = sa.select(incidents).where(incidents.c.id.in_(list(ids)[:PAGE]))
        with self._database.read("read incidents") as connection:
            found = readable(connection, connection.execute(query), records.incident_from_row)
            return {incident.id: incident for incident in found}

    def standing_strikes(self, since_ms: int, wall_ms: int) -> dict[str, int]:
        """By name as names are compared: how many strikes since then stand and count for themselves."""
        query = sa.select(strikes.c.broadcaster, sa.func.count()).where(
            strikes.c.pardoned_ms.is_(None),
            strikes.c.part_of.is_(None),
            strikes.c.created_ms >= since_ms,
            sa.or_(strikes.c.review_by_ms.is_(None), strikes.c.review_by_ms > wall_ms),
        )
        counted: dict[str, int] = {}
        with self._database.read("count strikes") as connection:
            for name, count in connection.execute(query.group_by(strikes.c.broadcaster)):
                counted[compared(name)] = counted.get(compared(name), 0) + count
        return counted


def _from_row(row: Any) -> WaitingIncident:
    with records.known_row(incidents.name, row):
        return WaitingIncident(
            row.id,
            row.stream_id,
            Publish(
                row.server,
                row.connection,
                row.app,
                row.name,
                row.broadcaster,
                row.address,
                {str(name): str(value) for name, value in json.loads(row.attributes).items()},
            ),
            _deciding(row.verdict),
            int(row.created_ms),
            IncidentState(row.state),
            max(float(row.score), float(row.peak_score or 0.0)),
            row.claimed_by,
            int(row.claimed_until_ms or 0),
            row.reviewed_by,
            row.first_confirmed_by,
            row.admitted_ms,
        )


def _deciding(text: str) -> Verdict:
    """The verdict with its first signal alone: a queue reads thousands of them."""
    values = json.loads(text)
    return records.verdict_from_values({**values, "trace": None, "signals": values["signals"][:1]})


def _bare(verdict: Verdict) -> Verdict:
    return dataclasses.replace(verdict, trace=None, signals=verdict.signals[:1])
