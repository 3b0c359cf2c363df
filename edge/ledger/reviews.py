"""Reviews: what a person decides about an incident, and what follows from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from edge.domain import Block, Incident, IncidentState
from edge.errors import InvalidInput
from edge.ledger import records
from edge.ledger.audit import next_number
from edge.ledger.base import LedgerBase
from edge.ledger.bell import ring
from edge.ledger.incidents import read_incident, update_incident
from edge.ledger.tables import blocks, incidents, strikes


class Reviews(LedgerBase):
    def review(
        self, incident_id: str, decision: IncidentState, reason: str, by: str, wall_ms: int
    ) -> tuple[Incident, tuple[Block, ...]]:
        """A person's decision. OVERTURNED lifts the incident's blocks and pardons its strike at once.

        Returns the incident and the blocks that were lifted.
        """
        lifted: tuple[Block, ...] = ()
        pardoned: Sequence[str] = ()
        with self._database.write("review") as connection:
            before = read_incident(connection, incident_id)
            if before.state is IncidentState.OVERTURNED:
                raise InvalidInput("incident_id", f"{incident_id} is overturned already")
            update_incident(
                connection,
                incident_id,
                {
                    "state": decision.value,
                    "reviewed_ms": wall_ms,
                    "reviewed_by": by,
                    "review_reason": reason,
                },
            )
            detail: dict[str, Any] = {"decision": decision.value, "reason": reason}
            standing = blocks.c.incident_id == incident_id, blocks.c.lifted_ms.is_(None)
            overturned = decision is IncidentState.OVERTURNED
            if overturned:
                rows = connection.execute(sa.select(blocks).where(*standing))
                lift: dict[str, Any] = {
                    "lifted_ms": wall_ms,
                    "lifted_by": by,
                    "lift_reason": f"overturned: {reason}"[:512],
                }
                lifted = tuple(dataclasses.replace(records.block_from_row(row), **lift) for row in rows)
                detail["lifted"] = [block.id for block in lifted]
                number = next_number(connection)
                connection.execute(blocks.update().where(*standing).values(**lift, revision=number))
                pardon = (strikes.c.incident_id == incident_id, strikes.c.pardoned_ms.is_(None))
                pardoned = connection.execute(sa.select(strikes.c.id).where(*pardon)).scalars().all()
                connection.execute(strikes.update().where(*pardon).values(pardoned_ms=wall_ms))
                detail["pardoned"] = list(pardoned)
                ring(connection)
            self._audit(
                connection,
                wall_ms,
                by,
                "review",
                incident_id,
                detail,
                {incidents: [incident_id], blocks: detail.get("lifted", ()), strikes: pardoned},
            )
            return read_incident(connection, incident_id), lifted
