"""Strikes: people read, give and pardon them."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa

from edge.domain import AppealState, Block, Publish, Severity, Strike, new_id
from edge.errors import Conflict, InvalidInput, NotFound
from edge.ladder import block_until, term_of
from edge.ledger import records
from edge.ledger.appeal_rows import decide_appeals
from edge.ledger.audit import next_number
from edge.ledger.base import LedgerBase
from edge.ledger.change_listener import notify
from edge.ledger.incidents import read_incident
from edge.ledger.reversal import Undone, blocks_of, undo
from edge.ledger.strike_rows import spellings, strikes_of
from edge.ledger.subjects import struck_name
from edge.ledger.tables import appeals, blocks, strikes
from edge.ledger.unknown_rows import readable
from edge.ledger.violations import make_blocks
from edge.names import MAX_BROADCASTER, compared, stored_name
from edge.policy import Policy


class Strikes(LedgerBase):
    def strikes_of(self, broadcaster: str) -> tuple[Strike, ...]:
        """Every strike of a broadcaster, oldest first, without what is only part of another's occasion."""
        with self._database.read("read strikes") as connection:
            return tuple(each for each in strikes_of(connection, broadcaster) if each.part_of is None)

    def strikes(
        self,
        *,
        broadcaster: str | None = None,
        include_pardoned: bool = True,
        limit: int = 100,
        before_id: str | None = None,
    ) -> tuple[Strike, ...]:
        """Strikes that match the filters, newest first, without what is only part of another's occasion."""
        query = (
            sa.select(strikes).where(strikes.c.part_of.is_(None)).order_by(strikes.c.id.desc()).limit(limit)
        )
        if broadcaster is not None:
            query = query.where(strikes.c.broadcaster.in_(spellings(broadcaster)))
        if not include_pardoned:
            query = query.where(strikes.c.pardoned_ms.is_(None))
        if before_id is not None:
            query = query.where(strikes.c.id < before_id)
        with self._database.read("read strikes") as connection:
            return tuple(readable(connection, connection.execute(query), records.strike_from_row))

    def add_strike(
        self,
        policy: Policy,
        broadcaster: str,
        app: str,
        category: str,
        severity: Severity,
        reason: str,
        by: str,
        wall_ms: int,
        incident_id: str | None = None,
    ) -> tuple[Strike, tuple[Block, ...]]:
        """Gives a strike by hand, with the ladder's block.

        ``incident_id`` names what the person saw, if the gate gave no strike for it (a FLAG). The incident
        then names broadcaster and app, and linked subjects are blocked too. ``policy`` is the whole policy.
        Raises InvalidInput, NotFound, and Conflict if the incident has a strike.
        """
        with self._database.write_transaction("add a strike") as connection:
            publish = Publish("", "", app, "", broadcaster)
            applies, stream_id = policy.for_app(app), None
            if incident_id is not None:
                incident = read_incident(connection, incident_id)
                publish, stream_id = incident.publish, incident.stream_id
                applies = policy.for_publish(publish)
                its_own = compared(broadcaster) in ("", compared(publish.broadcaster))
                if not its_own or app not in ("", publish.app):
                    raise InvalidInput("incident_id", f"{incident_id} is of another broadcaster or app")
                category = category or incident.verdict.category
                _no_strike_yet(connection, incident_id, stream_id)
            if not stored_name("broadcaster", publish.broadcaster, MAX_BROADCASTER):
                raise InvalidInput("broadcaster", "must not be empty")
            strike = Strike(
                id=new_id("sk"),
                broadcaster=struck_name(publish),
                app=publish.app,
                category=category,
                incident_id=incident_id,
                created_ms=wall_ms,
                severity=severity,
                reason=reason,
                created_by=by,
            )
            full_ms = block_until(strikes_of(connection, strike.broadcaster), strike, applies.ladder)
            severe = severity is Severity.SEVERE
            term = term_of(full_ms, wall_ms, applies.review, matched=True, confirmed=1, severe=severe)
            made = make_blocks(
                publish, strike, applies.ladder, term, f"bl_{strike.id.removeprefix('sk_')}", reason
            )
            # A person gave the strike, so its blocks rest on the strike and not on the incident's review.
            made = tuple(dataclasses.replace(b, incident_id=None, strike_id=strike.id) for b in made)
            connection.execute(strikes.insert().values(records.strike_to_row(strike, stream_id)))
            number = next_number(connection)
            for block in made:
                connection.execute(blocks.insert().values(**records.block_to_row(block), revision=number))
            ids = [block.id for block in made]
            detail = {
                **records.strike_to_row(strike, stream_id),
                "blocks": ids,
                "until_ms": term.until_ms,
            }
            written: dict[sa.Table, list[str]] = {strikes: [strike.id], blocks: ids}
            self._audit(connection, wall_ms, by, "strike", strike.id, detail, written)
            notify(connection)
        return strike, made

    def pardon_strike(
        self, policy: Policy, strike_id: str, reason: str, by: str, wall_ms: int
    ) -> tuple[Strike, Undone]:
        """Pardons a strike as if it had never happened. Lifts its blocks and shortens later ones.

        Raises NotFound, and Conflict if it was pardoned before.
        """
        with self._database.write_transaction("pardon a strike") as connection:
            row = connection.execute(sa.select(strikes).where(strikes.c.id == strike_id)).first()
            if row is None:
                raise NotFound("strike", strike_id)
            strike = records.strike_from_row(row)
            if strike.pardoned_ms is not None:
                raise Conflict(f"strike_id: {strike_id} was pardoned already by {strike.pardoned_by}")
            resting = blocks_of(connection, strike)
            undone = undo(
                connection,
                [strike],
                resting,
                by=by,
                reason=f"pardoned: {reason}"[:512],
                wall_ms=wall_ms,
                number=next_number(connection),
                policy=policy,
            )
            granted = decide_appeals(
                connection,
                AppealState.GRANTED,
                reason,
                by,
                wall_ms,
                incident_id=strike.incident_id,
                block_ids=[block.id for block in resting],
            )
            detail = {**undone.detail, "reason": reason, "appeals": granted}
            written = {**undone.rows, appeals: granted}
            self._audit(connection, wall_ms, by, "pardon", strike_id, detail, written)
            notify(connection)
        return undone.pardoned[0], undone


def _no_strike_yet(connection: sa.Connection, incident_id: str, stream_id: str) -> None:
    query = sa.select(strikes.c.id).where(
        sa.or_(strikes.c.incident_id == incident_id, strikes.c.stream_id == stream_id)
    )
    given = connection.execute(query).scalar()
    if given is not None:
        raise Conflict(f"incident_id: {incident_id} has the strike {given} already: one stream is one strike")
