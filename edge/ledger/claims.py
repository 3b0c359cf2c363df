"""Claims: who works on which incident, and who looked at it first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

from edge.domain import Incident, IncidentState
from edge.errors import Conflict
from edge.ledger.base import LedgerBase
from edge.ledger.incidents import UNDECIDED, read_incident, update_incident
from edge.ledger.tables import incidents

UNCLAIMED: dict[str, object] = {"claimed_by": None, "claimed_until_ms": None}


class Claims(LedgerBase):
    def claim(
        self, incident_id: str, by: str, wall_ms: int, claim_ms: int, most: int | None = None
    ) -> Incident:
        """Reserves an incident for one reviewer. A second claim by the same reviewer extends it.

        Raises NotFound, and Conflict while somebody else holds the claim, if the incident is overturned, or
        if the reviewer holds ``most`` others.
        """
        with self._database.write_transaction("claim an incident") as connection:
            incident = read_incident(connection, incident_id)
            check_free(incident, by, wall_ms)
            if incident.state is IncidentState.OVERTURNED:
                raise Conflict(f"incident_id: {incident_id} is overturned already")
            _check_room(connection, by, wall_ms, most, incident_id)
            return self._claim(connection, incident, by, wall_ms, claim_ms)

    def claim_first(
        self, ids: Iterable[str], by: str, wall_ms: int, claim_ms: int, most: int | None = None
    ) -> Incident | None:
        """Reserves the first of these incidents that waits and that nobody has claimed; None where none is
        left. Raises Conflict if the reviewer holds ``most`` already."""
        with self._database.write_transaction("claim the next incident") as connection:
            _check_room(connection, by, wall_ms, most)
            for incident_id in ids:
                row = connection.execute(
                    sa.select(incidents.c.id).where(
                        incidents.c.id == incident_id,
                        incidents.c.state.in_([state.value for state in UNDECIDED]),
                        sa.or_(incidents.c.claimed_by.is_(None), incidents.c.claimed_until_ms <= wall_ms),
                    )
                ).first()
                if row is not None:
                    incident = read_incident(connection, incident_id)
                    return self._claim(connection, incident, by, wall_ms, claim_ms)
        return None

    def _claim(
        self, connection: sa.Connection, incident: Incident, by: str, wall_ms: int, claim_ms: int
    ) -> Incident:
        values: dict[str, object] = {
            "claimed_by": by,
            "claimed_until_ms": wall_ms + claim_ms,
            **first_look(incident, by, wall_ms),
        }
        update_incident(connection, incident.id, values)
        self._audit(connection, wall_ms, by, "claim", incident.id, values, {incidents: [incident.id]})
        return read_incident(connection, incident.id)

    def release(self, incident_id: str, by: str, wall_ms: int) -> Incident:
        """Gives a claim back. Raises NotFound, and Conflict while somebody else holds it."""
        with self._database.write_transaction("release an incident") as connection:
            incident = read_incident(connection, incident_id)
            check_free(incident, by, wall_ms)
            if incident.review.claimed_by is not None:
                update_incident(connection, incident_id, UNCLAIMED)
                self._audit(connection, wall_ms, by, "release", incident_id, {}, {incidents: [incident_id]})
            return read_incident(connection, incident_id)

    def note_look(self, incident_id: str, by: str, wall_ms: int) -> Incident | None:
        """Records who looks at an incident first. Returns it then, and None where somebody has looked, or
        where it is decided. Raises NotFound."""
        with self._database.read("see who has looked") as connection:
            incident = read_incident(connection, incident_id)
        if incident.review.looked_ms is not None or incident.state not in UNDECIDED:
            return None
        with self._database.write_transaction("note a first look") as connection:
            incident = read_incident(connection, incident_id)
            values = first_look(incident, by, wall_ms)
            if not values:
                return None
            update_incident(connection, incident_id, values)
            self._audit(connection, wall_ms, by, "look", incident_id, values, {incidents: [incident_id]})
            return read_incident(connection, incident_id)


def first_look(incident: Incident, by: str, wall_ms: int) -> dict[str, object]:
    """What to write where nobody had looked before."""
    if incident.review.looked_ms is not None:
        return {}
    return {"looked_by": by, "looked_ms": max(wall_ms, incident.created_ms)}


def check_free(incident: Incident, by: str, wall_ms: int) -> None:
    """Raises Conflict while somebody else holds the claim."""
    review = incident.review
    taken = review.claimed_by not in (None, by) and wall_ms < (review.claimed_until_ms or 0)
    if taken:
        until = datetime.fromtimestamp((review.claimed_until_ms or 0) / 1000, UTC)
        raise Conflict(
            f"incident_id: {incident.id} is claimed by {review.claimed_by} "
            f"until {until:%Y-%m-%d %H:%M:%S} UTC"
        )


def _check_room(
    connection: sa.Connection, by: str, wall_ms: int, most: int | None, besides: str = ""
) -> None:
    if most is None:
        return
    held = connection.execute(
        sa.select(sa.func.count()).where(
            incidents.c.claimed_by == by,
            incidents.c.claimed_until_ms > wall_ms,
            incidents.c.state.in_([state.value for state in UNDECIDED]),
            incidents.c.id != besides,
        )
    ).scalar_one()
    if held >= most:
        raise Conflict(
            f"{by} has claimed {held} incidents, the most that queue.claims allows: "
            "decide or release one of them first"
        )
