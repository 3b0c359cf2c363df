"""Appeals: a broadcaster objects to a block, and a person decides."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa

from edge.domain import Appeal, AppealState, Block, IncidentState, SubjectKind, new_id
from edge.errors import Conflict, InvalidInput, LimitExceeded
from edge.ledger import records
from edge.ledger.appeal_rows import decide_appeals, read_appeal
from edge.ledger.base import LedgerBase
from edge.ledger.blocks import read_block
from edge.ledger.incidents import read_incident
from edge.ledger.tables import appeals, blocks, incidents, strikes
from edge.ledger.unknown_rows import readable
from edge.policy import Policy, ReviewPolicy

MAX_TEXT_BYTES = 4096


class Appeals(LedgerBase):
    def file_appeal(
        self,
        text: str,
        by: str,
        wall_ms: int,
        policy: Policy,
        *,
        incident_id: str | None = None,
        block_id: str | None = None,
    ) -> Appeal:
        """Files an appeal against an incident or against a block.

        An appeal against a block counts for the incident that the block rests on, if there is one. Only one
        appeal may be open at a time, and ``review.appeals`` may be filed in all. The deadline is
        ``review.appeal_ms`` after the block began. ``text`` is at most 4 KiB of UTF-8. ``policy`` is the
        whole policy, not one app's. Raises NotFound, InvalidInput, LimitExceeded and Conflict.
        """
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_TEXT_BYTES:
            raise LimitExceeded("text", MAX_TEXT_BYTES, size, "bytes")
        if not text.strip():
            raise InvalidInput("text", "must not be empty")
        with self._database.write_transaction("file an appeal") as connection:
            appeal, review = _against(connection, incident_id, block_id, wall_ms, policy)
            about = (
                appeals.c.block_id == appeal.block_id
                if appeal.incident_id is None
                else appeals.c.incident_id == appeal.incident_id
            )
            earlier = connection.execute(sa.select(appeals.c.id, appeals.c.state).where(about)).all()
            for row in earlier:
                if row.state == AppealState.OPEN.value:
                    raise Conflict(f"appeal: {row.id} is not decided yet")
            if len(earlier) >= review.appeals:
                raise LimitExceeded("appeals", review.appeals, len(earlier) + 1, "appeals")
            appeal = dataclasses.replace(appeal, text=text, filed_by=by)
            connection.execute(appeals.insert().values(**records.appeal_to_row(appeal)))
            detail = {"incident": appeal.incident_id, "block": appeal.block_id}
            self._audit(connection, wall_ms, by, "appeal", appeal.id, detail, {appeals: [appeal.id]})
        return appeal

    def appeals(
        self,
        *,
        state: AppealState | None = None,
        broadcaster: str | None = None,
        incident_id: str | None = None,
        limit: int = 100,
        before_id: str | None = None,
    ) -> tuple[Appeal, ...]:
        """Appeals that match the filters, newest first."""
        query = sa.select(appeals).order_by(appeals.c.id.desc()).limit(limit)
        if state is not None:
            query = query.where(appeals.c.state == state.value)
        if broadcaster is not None:
            query = query.where(appeals.c.broadcaster == broadcaster)
        if incident_id is not None:
            query = query.where(appeals.c.incident_id == incident_id)
        if before_id is not None:
            query = query.where(appeals.c.id < before_id)
        with self._database.read("read appeals") as connection:
            return tuple(readable(connection, connection.execute(query), records.appeal_from_row))

    def appeal(self, appeal_id: str) -> Appeal:
        """Reads one appeal. Raises NotFound."""
        with self._database.read("read an appeal") as connection:
            return read_appeal(connection, appeal_id)

    def deny_appeal(self, appeal_id: str, reason: str, by: str, wall_ms: int) -> Appeal:
        """Denies an appeal against a block by hand; the block stays.

        Raises NotFound. Raises Conflict for an appeal against an incident, which the review decides, and for
        a decided one.
        """
        with self._database.write_transaction("deny an appeal") as connection:
            appeal = read_appeal(connection, appeal_id)
            if appeal.incident_id is not None or appeal.block_id is None:
                raise Conflict(f"appeal_id: {appeal_id} is decided by the review of {appeal.incident_id}")
            if appeal.state is not AppealState.OPEN:
                raise Conflict(f"appeal_id: {appeal_id} is {appeal.state} already")
            denied = decide_appeals(
                connection, AppealState.DENIED, reason, by, wall_ms, block_ids=(appeal.block_id,)
            )
            self._audit(
                connection, wall_ms, by, "deny_appeal", appeal_id, {"reason": reason}, {appeals: denied}
            )
            return read_appeal(connection, appeal_id)


def _against(
    connection: sa.Connection,
    incident_id: str | None,
    block_id: str | None,
    wall_ms: int,
    policy: Policy,
) -> tuple[Appeal, ReviewPolicy]:
    """A new appeal without text, and the review rules that apply to it.

    Checks that the incident or block can be appealed against now.
    """
    if (incident_id is None) == (block_id is None):
        raise InvalidInput("incident_id", "an appeal is against an incident_id or a block_id, one of them")
    incident, block = None, None
    if block_id is not None:
        block = read_block(connection, block_id)
        incident_id = block.incident_id or _struck_for(connection, block)
    if incident_id is not None:
        incident = read_incident(connection, incident_id)
        if incident.state is IncidentState.OVERTURNED:
            raise Conflict(f"incident_id: {incident_id} is overturned already: nothing is left of it")
        by_hand = sa.select(strikes.c.id).where(strikes.c.incident_id == incident_id)
        rests = sa.or_(blocks.c.incident_id == incident_id, blocks.c.strike_id.in_(by_hand))
        began_ms = connection.execute(sa.select(sa.func.max(blocks.c.created_ms)).where(rests)).scalar()
        if began_ms is None:
            raise Conflict(f"incident_id: no block rests on {incident_id}")
        broadcaster, app = incident.publish.broadcaster, incident.publish.app
        review = policy.for_publish(incident.publish).review
    else:
        assert block is not None
        if not block.active_at(wall_ms):
            raise Conflict(f"block_id: {block_id} does not hold any more")
        named = block.subject_kind is SubjectKind.BROADCASTER
        broadcaster, app, began_ms = block.subject if named else "", block.app, block.created_ms
        review = policy.for_app(app).review
    if wall_ms - began_ms > review.appeal_ms:
        raise LimitExceeded("appeal, time since the block began", review.appeal_ms, wall_ms - began_ms, "ms")
    return Appeal(new_id("ap"), incident_id, block_id, broadcaster, app, "", wall_ms, ""), review


def _struck_for(connection: sa.Connection, block: Block) -> str | None:
    """The incident that a person gave the block's strike for. None where no review can decide it any more."""
    query = (
        sa.select(strikes.c.incident_id)
        .join(incidents, incidents.c.id == strikes.c.incident_id)
        .where(strikes.c.id == block.strike_id, incidents.c.state != IncidentState.OVERTURNED.value)
    )
    found: str | None = connection.execute(query).scalar()
    return found
