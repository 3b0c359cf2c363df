"""Violations: incident, strike and blocks in one transaction, each once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa

from edge.crash_points import crash_point
from edge.domain import Block, Incident, Publish, Severity, Strike, SubjectKind
from edge.ladder import Sanction, Term, block_until, by_vouched_footage, term_of
from edge.ledger import records
from edge.ledger.audit import next_number
from edge.ledger.base import GATE, LedgerBase
from edge.ledger.change_listener import notify
from edge.ledger.incidents import read_incident, summary
from edge.ledger.strike_rows import mark_occasions, strikes_of
from edge.ledger.subjects import linked_subjects, struck_name
from edge.ledger.tables import blocks, incidents, strikes
from edge.ledger.unknown_rows import readable
from edge.policy import LadderPolicy, StrikeScope


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """The records of one violation."""

    incident: Incident
    strike: Strike
    blocks: tuple[Block, ...]
    durable_ms: int
    durable_in: str = "ledger"
    """``ledger``, or ``journal`` while the ledger is away."""


class Violations(LedgerBase):
    def record_violation(self, incident: Incident, sanction: Sanction, wall_ms: int) -> Violation:
        """Writes incident, strike and blocks in one transaction.

        Idempotent by incident and by stream: one stream gets one strike, whatever the number of causes and
        retries. A violation of an occasion that has its strike is ``part_of`` that one and no further strike.
        """
        with self._database.write_transaction("record a violation") as connection:
            crash_point("ledger.begin")
            known = _violation_of(connection, incident)
            if known is not None:
                return known
            earlier = strikes_of(connection, struck_name(incident.publish))
            violation = make_violation(incident, sanction, earlier, wall_ms, self._gate)
            violation = self._insert_violation(connection, violation, sanction)
            crash_point("ledger.inserted")
        crash_point("ledger.committed")
        return violation

    def adopt_violation(self, violation: Violation, sanction: Sanction) -> Violation:
        """Writes a violation that the journal held. Idempotent like ``record_violation``.

        Its blocks keep their ids. They last at least as long as the ladder says, now that every earlier
        strike counts.
        """
        incident = violation.incident
        with self._database.write_transaction("adopt a violation") as connection:
            known = _violation_of(connection, incident)
            if known is not None:
                return known
            earlier = strikes_of(connection, struck_name(incident.publish))
            known_until_ms = max((b.full_until_ms or b.until_ms for b in violation.blocks), default=0)
            full_ms = max(known_until_ms, block_until(earlier, violation.strike, sanction.ladder))
            term = _term(incident, full_ms, sanction)
            violation = dataclasses.replace(
                violation,
                blocks=tuple(_with_term(block, term) for block in violation.blocks),
                durable_in="ledger",
            )
            violation = self._insert_violation(connection, violation, sanction)
        return violation

    def _insert_violation(
        self, connection: sa.Connection, violation: Violation, sanction: Sanction
    ) -> Violation:
        """Returns the violation as it is stored: its strike may count, or be part of another's occasion."""
        incident, strike = violation.incident, violation.strike
        connection.execute(incidents.insert().values(**records.incident_to_row(incident), gate=self._gate))
        crash_point("ledger.incident")
        connection.execute(strikes.insert().values(records.strike_to_row(strike, incident.stream_id)))
        marked = mark_occasions(connection, strike.broadcaster, sanction.ladder, strike.created_ms)
        strike = next((each for each in marked if each.id == strike.id), strike)
        number = next_number(connection)
        for block in violation.blocks:
            connection.execute(blocks.insert().values(**records.block_to_row(block), revision=number))
        ids = [block.id for block in violation.blocks]
        detail = {
            **summary(incident),
            "strike": strike.id,
            "part_of": strike.part_of,
            "severity": strike.severity.value,
            "blocks": ids,
            "until_ms": max((block.until_ms for block in violation.blocks), default=0),
            "provisional": any(block.provisional for block in violation.blocks),
        }
        struck = list(dict.fromkeys([strike.id, *(each.id for each in marked)]))
        written: dict[sa.Table, list[str]] = {incidents: [incident.id], strikes: struck, blocks: ids}
        self._audit(connection, violation.durable_ms, GATE, "violation", incident.id, detail, written)
        notify(connection)
        return dataclasses.replace(violation, strike=strike)


def make_violation(
    incident: Incident, sanction: Sanction, earlier: Iterable[Strike], wall_ms: int, gate: str = ""
) -> Violation:
    """Makes the strike and blocks of an incident. Pure. ``earlier`` holds the broadcaster's other strikes.

    Their ids derive from the incident's id. So a commit whose answer was lost, repeated by way of the
    journal, gives the same violation.
    """
    tail = incident.id.removeprefix("in_")
    publish, verdict = incident.publish, incident.verdict
    strike = Strike(
        id=f"sk_{tail}",
        broadcaster=struck_name(publish),
        app=publish.app,
        category=verdict.category,
        incident_id=incident.id,
        created_ms=incident.created_ms,
        severity=sanction.severity,
        reason=verdict.reason,
        admitted_ms=incident.admitted_ms,
        gate=gate,
    )
    term = _term(incident, block_until(earlier, strike, sanction.ladder), sanction)
    return Violation(
        incident=dataclasses.replace(incident, durable_ms=wall_ms),
        strike=dataclasses.replace(strike, review_by_ms=term.strike_review_by_ms),
        blocks=make_blocks(publish, strike, sanction.ladder, term, f"bl_{tail}", verdict.reason),
        durable_ms=wall_ms,
    )


def make_blocks(
    publish: Publish, strike: Strike, ladder: LadderPolicy, term: Term, prefix: str, reason: str
) -> tuple[Block, ...]:
    """Makes a block for the broadcaster and for each linked subject. Pure."""
    everywhere = ladder.scope is StrikeScope.ALL
    return tuple(
        Block(
            id=f"{prefix}{index}",
            subject_kind=kind,
            subject=subject,
            app="" if everywhere and kind is not SubjectKind.STREAM_KEY else publish.app,
            reason=reason,
            category=strike.category,
            created_ms=strike.created_ms,
            until_ms=term.until_ms,
            incident_id=strike.incident_id,
            created_by=strike.created_by,
            provisional=term.provisional,
            full_until_ms=term.full_until_ms if term.provisional else None,
            review_by_ms=term.review_by_ms,
            strike_id=strike.id if strike.incident_id is None else None,
        )
        for index, (kind, subject) in enumerate(linked_subjects(publish, ladder.link))
    )


def _term(incident: Incident, full_until_ms: int, sanction: Sanction) -> Term:
    matched = by_vouched_footage(incident.verdict)
    severe = sanction.severity is Severity.SEVERE
    return term_of(
        full_until_ms, incident.created_ms, sanction.review, matched=matched, confirmed=0, severe=severe
    )


def _with_term(block: Block, term: Term) -> Block:
    return dataclasses.replace(
        block,
        until_ms=term.until_ms,
        provisional=term.provisional,
        full_until_ms=term.full_until_ms if term.provisional else None,
        review_by_ms=term.review_by_ms,
    )


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
        blocks=tuple(readable(connection, standing, records.block_from_row)),
        durable_ms=stored.durable_ms or stored.created_ms,
    )
