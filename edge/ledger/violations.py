"""Violations: incident, strike and blocks in one transaction, each once."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa

from edge.domain import Block, Incident, Strike, SubjectKind
from edge.enforce.ladder import block_until
from edge.ledger import records
from edge.ledger.audit import append, next_number
from edge.ledger.base import GATE, LedgerBase
from edge.ledger.bell import ring
from edge.ledger.incidents import read_incident, summary
from edge.ledger.tables import blocks, incidents, strikes
from edge.ledger.view import STREAM_KEY_ATTRIBUTE
from edge.policy import LadderPolicy


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """What a violation left on disk."""

    incident: Incident
    strike: Strike
    blocks: tuple[Block, ...]
    durable_ms: int
    durable_in: str = "ledger"
    """``ledger``, or ``journal`` while the ledger is away."""


class Violations(LedgerBase):
    def record_violation(self, incident: Incident, ladder: LadderPolicy, wall_ms: int) -> Violation:
        """Incident, strike and blocks in one transaction.

        Idempotent by incident and by stream: one stream is one strike, however many causes and
        however often it is retried.
        """
        with self._database.write("record a violation") as connection:
            known = _violation_of(connection, incident)
            if known is not None:
                return known
            until_ms = block_until(_strikes_of(connection, incident), ladder, incident.created_ms)
            violation = make_violation(incident, ladder, until_ms, wall_ms)
            _insert_violation(connection, violation, self._gate)
        return violation

    def adopt_violation(self, violation: Violation, ladder: LadderPolicy) -> Violation:
        """Write a violation that was durable elsewhere; idempotent like ``record_violation``.

        Its blocks keep their ids, and last at least as long as the ladder says, now that every earlier
        strike can be counted.
        """
        incident = violation.incident
        with self._database.write("adopt a violation") as connection:
            known = _violation_of(connection, incident)
            if known is not None:
                return known
            until_ms = block_until(_strikes_of(connection, incident), ladder, incident.created_ms)
            violation = dataclasses.replace(
                violation,
                blocks=tuple(
                    dataclasses.replace(block, until_ms=max(block.until_ms, until_ms))
                    for block in violation.blocks
                ),
                durable_in="ledger",
            )
            _insert_violation(connection, violation, self._gate)
        return violation

    def strikes_of(self, broadcaster: str) -> tuple[Strike, ...]:
        with self._database.read("read strikes") as connection:
            rows = connection.execute(
                sa.select(strikes).where(strikes.c.broadcaster == broadcaster).order_by(strikes.c.created_ms)
            )
            return tuple(records.strike_from_row(row) for row in rows)


def make_violation(incident: Incident, ladder: LadderPolicy, until_ms: int, wall_ms: int) -> Violation:
    """Strike and blocks of an incident. Pure.

    Their ids follow from the incident's, so that a violation whose first commit went through unheard
    is the same one when it comes again by way of the journal.
    """
    tail = incident.id.removeprefix("in_")
    publish = incident.publish
    subjects = [(SubjectKind.BROADCASTER, publish.broadcaster)]
    stream_key = publish.attributes.get(STREAM_KEY_ATTRIBUTE)
    if stream_key:
        subjects.append((SubjectKind.STREAM_KEY, stream_key))
    if ladder.block_address and publish.address:
        subjects.append((SubjectKind.ADDRESS, publish.address))
    return Violation(
        incident=dataclasses.replace(incident, durable_ms=wall_ms),
        strike=Strike(
            id=f"sk_{tail}",
            broadcaster=publish.broadcaster,
            app=publish.app,
            category=incident.verdict.category,
            incident_id=incident.id,
            created_ms=incident.created_ms,
        ),
        blocks=tuple(
            Block(
                id=f"bl_{tail}{index}",
                subject_kind=kind,
                subject=subject,
                app=publish.app if kind is SubjectKind.STREAM_KEY else "",
                reason=incident.verdict.reason,
                category=incident.verdict.category,
                created_ms=incident.created_ms,
                until_ms=until_ms,
                incident_id=incident.id,
                created_by=GATE,
            )
            for index, (kind, subject) in enumerate(subjects)
        ),
        durable_ms=wall_ms,
    )


def _insert_violation(connection: sa.Connection, violation: Violation, gate: str) -> None:
    incident = violation.incident
    connection.execute(incidents.insert().values(**records.incident_to_row(incident), gate=gate))
    connection.execute(strikes.insert().values(records.strike_to_row(violation.strike, incident.stream_id)))
    number = next_number(connection)
    for block in violation.blocks:
        connection.execute(blocks.insert().values(**records.block_to_row(block), revision=number))
    ids = [block.id for block in violation.blocks]
    append(
        connection,
        violation.durable_ms,
        GATE,
        "violation",
        incident.id,
        {
            **summary(incident),
            "strike": violation.strike.id,
            "blocks": ids,
            "until_ms": max(block.until_ms for block in violation.blocks),
        },
        {incidents: [incident.id], strikes: [violation.strike.id], blocks: ids},
        gate=gate,
    )
    ring(connection)


def _violation_of(connection: sa.Connection, incident: Incident) -> Violation | None:
    row = connection.execute(
        sa.select(strikes).where(
            sa.or_(strikes.c.incident_id == incident.id, strikes.c.stream_id == incident.stream_id)
        )
    ).first()
    if row is None:
        return None
    stored = read_incident(connection, row.incident_id)
    standing = connection.execute(
        sa.select(blocks).where(blocks.c.incident_id == row.incident_id).order_by(blocks.c.id)
    )
    return Violation(
        incident=stored,
        strike=records.strike_from_row(row),
        blocks=tuple(records.block_from_row(block) for block in standing),
        durable_ms=stored.durable_ms or stored.created_ms,
    )


def _strikes_of(connection: sa.Connection, incident: Incident) -> list[Strike]:
    rows = connection.execute(sa.select(strikes).where(strikes.c.broadcaster == incident.publish.broadcaster))
    return [records.strike_from_row(row) for row in rows]
