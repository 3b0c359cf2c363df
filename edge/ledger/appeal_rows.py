"""Reads and decides appeals inside a transaction of the caller."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from edge.domain import Appeal, AppealState
from edge.errors import NotFound
from edge.ledger import records
from edge.ledger.tables import appeals


def read_appeal(connection: sa.Connection, appeal_id: str) -> Appeal:
    """Reads one appeal. Raises NotFound."""
    row = connection.execute(sa.select(appeals).where(appeals.c.id == appeal_id)).first()
    if row is None:
        raise NotFound("appeal", appeal_id)
    return records.appeal_from_row(row)


def open_appeals(
    connection: sa.Connection, *, incident_id: str | None = None, block_ids: Sequence[str] = ()
) -> list[str]:
    """Ids of the open appeals against an incident or against blocks."""
    about: sa.ColumnElement[bool] = appeals.c.block_id.in_(block_ids)
    if incident_id is not None:
        about = sa.or_(about, appeals.c.incident_id == incident_id)
    query = sa.select(appeals.c.id).where(about, appeals.c.state == AppealState.OPEN.value)
    return list(connection.execute(query.order_by(appeals.c.id)).scalars())


def decide_appeals(
    connection: sa.Connection,
    state: AppealState,
    reason: str,
    by: str,
    wall_ms: int,
    *,
    incident_id: str | None = None,
    block_ids: Sequence[str] = (),
) -> list[str]:
    """Decides every open appeal against an incident or blocks. Returns their ids for the audit log."""
    ids = open_appeals(connection, incident_id=incident_id, block_ids=block_ids)
    if ids:
        decided_ms = sa.case((appeals.c.filed_ms > wall_ms, appeals.c.filed_ms), else_=wall_ms)
        decision = {"decided_ms": decided_ms, "decided_by": by, "decision_reason": reason}
        connection.execute(
            appeals.update().where(appeals.c.id.in_(ids)).values(state=state.value, **decision)
        )
    return ids
