"""The ledger: incidents, strikes, blocks, policies and the audit chain, in one database.

Synchronous and thread-safe; each method is one transaction, on disk when it returns.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from typing import Any, Self

import sqlalchemy as sa

from edge.domain import (
    PERMANENT_MS,
    Action,
    Block,
    Incident,
    IncidentState,
    Strike,
    SubjectKind,
    new_id,
)
from edge.enforce.ladder import block_until
from edge.errors import InvalidInput, LimitExceeded, NotFound, StaleVersion
from edge.ledger import records
from edge.ledger.audit import AuditRow, append, verify_chain
from edge.ledger.bell import Bell, ring
from edge.ledger.engine import Database, open_database
from edge.ledger.tables import audit, blocks, incidents, policies, strikes
from edge.ledger.view import STREAM_KEY_ATTRIBUTE, parse_network
from edge.policy import LadderPolicy, Policy, parse_policy

GATE = "gate"
_PAGE = 1000
_MAX_SUBJECT = 512


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """What a violation left on disk."""

    incident: Incident
    strike: Strike
    blocks: tuple[Block, ...]
    durable_ms: int
    durable_in: str = "ledger"
    """``ledger``, or ``journal`` while the ledger is away."""


class Ledger:
    """One database; ``Ledger.open`` migrates it first."""

    def __init__(self, database: Database, gate: str = "") -> None:
        self._database = database
        self._gate = gate

    @classmethod
    def open(cls, url: str, *, gate: str = "", busy_timeout_ms: int = 500) -> Self:
        """Raises ConfigError for a wrong URL and LedgerUnavailable when the database is away.

        ``gate``: this gate's name in its fleet, the same after a restart; where several gates may
        share the database the machine's name stands in for an empty one.
        """
        database = open_database(url, busy_timeout_ms)
        return cls(database, gate or (socket.gethostname()[:128] if database.shared else ""))

    @property
    def shared(self) -> bool:
        """Whether other gates may write to it: then a ``BlockFeed`` is needed."""
        return self._database.shared

    def close(self) -> None:
        self._database.close()

    def ping(self) -> None:
        """Take and release the write lock. Raises LedgerUnavailable."""
        with self._database.write("ping") as connection:
            connection.execute(sa.select(1))

    # violations

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

    # incidents

    def record_incident(self, incident: Incident, wall_ms: int) -> None:
        """An incident without a strike: FLAG, and everything that shadow mode withholds. Idempotent."""
        with self._database.write("record an incident") as connection:
            known = connection.execute(sa.select(incidents.c.id).where(incidents.c.id == incident.id))
            if known.first() is None:
                connection.execute(
                    incidents.insert().values(**records.incident_to_row(incident), gate=self._gate)
                )
                append(connection, wall_ms, GATE, "incident", incident.id, _summary(incident))

    def mark_cut_asked(self, incident_id: str, wall_ms: int, durable_ms: int | None = None) -> None:
        """``durable_ms``: when the commit of the violation had returned, as the caller saw it."""
        values: dict[str, object] = {"cut_asked_ms": wall_ms}
        if durable_ms is not None:
            values["durable_ms"] = durable_ms
        self._mark(incident_id, wall_ms, "cut_asked", values)

    def mark_cut_confirmed(self, incident_id: str, wall_ms: int, by: str) -> None:
        self._mark(incident_id, wall_ms, "cut_confirmed", {"cut_confirmed_ms": wall_ms, "confirmed_by": by})

    def set_evidence(self, incident_id: str, path: str) -> None:
        with self._database.write("set evidence") as connection:
            _update_incident(connection, incident_id, {"evidence_path": path})

    def _mark(self, incident_id: str, wall_ms: int, what: str, values: dict[str, object]) -> None:
        with self._database.write(what) as connection:
            _update_incident(connection, incident_id, values)
            append(connection, wall_ms, GATE, what, incident_id, values)

    def pending_cuts(self) -> tuple[Incident, ...]:
        """This gate's cuts that are durable and that nothing has proven: to be resumed after a restart."""
        query = (
            sa.select(incidents)
            .where(
                incidents.c.gate == self._gate,
                incidents.c.action == Action.CUT.value,
                incidents.c.durable_ms.is_not(None),
                incidents.c.cut_confirmed_ms.is_(None),
                incidents.c.state != IncidentState.OVERTURNED.value,
            )
            .order_by(incidents.c.id.desc())
            .limit(_PAGE)
        )
        with self._database.read("read pending cuts") as connection:
            return tuple(records.incident_from_row(row) for row in connection.execute(query))

    def incident(self, incident_id: str) -> Incident:
        with self._database.read("read an incident") as connection:
            return _incident(connection, incident_id)

    def incidents(
        self,
        *,
        broadcaster: str | None = None,
        state: IncidentState | None = None,
        limit: int = 100,
        before_id: str | None = None,
    ) -> tuple[Incident, ...]:
        """Newest first."""
        query = sa.select(incidents).order_by(incidents.c.id.desc()).limit(limit)
        if broadcaster is not None:
            query = query.where(incidents.c.broadcaster == broadcaster)
        if state is not None:
            query = query.where(incidents.c.state == state.value)
        if before_id is not None:
            query = query.where(incidents.c.id < before_id)
        with self._database.read("read incidents") as connection:
            return tuple(records.incident_from_row(row) for row in connection.execute(query))

    def review(
        self, incident_id: str, decision: IncidentState, reason: str, by: str, wall_ms: int
    ) -> tuple[Incident, tuple[Block, ...]]:
        """A person's decision. OVERTURNED lifts the incident's blocks and pardons its strike at once.

        Returns the incident and the blocks that were lifted.
        """
        lifted: tuple[Block, ...] = ()
        with self._database.write("review") as connection:
            before = _incident(connection, incident_id)
            if before.state is IncidentState.OVERTURNED:
                raise InvalidInput("incident_id", f"{incident_id} is overturned already")
            _update_incident(
                connection,
                incident_id,
                {
                    "state": decision.value,
                    "reviewed_ms": wall_ms,
                    "reviewed_by": by,
                    "review_reason": reason,
                },
            )
            detail: dict[str, object] = {"decision": decision.value, "reason": reason}
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
            number = append(connection, wall_ms, by, "review", incident_id, detail)
            if overturned:
                connection.execute(blocks.update().where(*standing).values(**lift, revision=number))
                connection.execute(
                    strikes.update()
                    .where(strikes.c.incident_id == incident_id, strikes.c.pardoned_ms.is_(None))
                    .values(pardoned_ms=wall_ms)
                )
                ring(connection)
            return _incident(connection, incident_id), lifted

    # blocks

    def blocks(
        self,
        *,
        wall_ms: int,
        include_ended: bool = False,
        subject: str | None = None,
        limit: int = 100,
        before_id: str | None = None,
    ) -> tuple[Block, ...]:
        """Newest first."""
        query = sa.select(blocks).order_by(blocks.c.id.desc()).limit(limit)
        if not include_ended:
            query = query.where(blocks.c.lifted_ms.is_(None), blocks.c.until_ms > wall_ms)
        if subject is not None:
            query = query.where(blocks.c.subject == subject)
        if before_id is not None:
            query = query.where(blocks.c.id < before_id)
        with self._database.read("read blocks") as connection:
            return tuple(records.block_from_row(row) for row in connection.execute(query))

    def active_blocks(self, wall_ms: int) -> Iterator[Block]:
        """Every block that stands, page by page, for the admission view."""
        last = ""
        while True:
            query = (
                sa.select(blocks)
                .where(blocks.c.lifted_ms.is_(None), blocks.c.until_ms > wall_ms, blocks.c.id > last)
                .order_by(blocks.c.id)
                .limit(_PAGE)
            )
            with self._database.read("read active blocks") as connection:
                page = [records.block_from_row(row) for row in connection.execute(query)]
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1].id

    def add_block(
        self,
        kind: SubjectKind,
        subject: str,
        app: str,
        duration_ms: int | None,
        reason: str,
        by: str,
        wall_ms: int,
    ) -> Block:
        """A block by hand; ``duration_ms`` None is permanent."""
        if not subject or len(subject) > _MAX_SUBJECT:
            raise LimitExceeded("subject", _MAX_SUBJECT, len(subject), "characters")
        if kind is SubjectKind.ADDRESS and "/" in subject:
            subject = str(parse_network(subject))
        block = Block(
            id=new_id("bl"),
            subject_kind=kind,
            subject=subject,
            app=app,
            reason=reason,
            category="",
            created_ms=wall_ms,
            until_ms=PERMANENT_MS if duration_ms is None else min(wall_ms + duration_ms, PERMANENT_MS),
            incident_id=None,
            created_by=by,
        )
        with self._database.write("add a block") as connection:
            row = records.block_to_row(block)
            number = append(connection, wall_ms, by, "block", block.id, row)
            connection.execute(blocks.insert().values(**row, revision=number))
            ring(connection)
        return block

    def lift_block(self, block_id: str, reason: str, by: str, wall_ms: int) -> Block:
        """Live access again. Raises NotFound, and InvalidInput when it was lifted before."""
        with self._database.write("lift a block") as connection:
            row = connection.execute(sa.select(blocks).where(blocks.c.id == block_id)).first()
            if row is None:
                raise NotFound("block", block_id)
            if row.lifted_ms is not None:
                raise InvalidInput("block_id", f"{block_id} was lifted already by {row.lifted_by}")
            lift: dict[str, Any] = {"lifted_ms": wall_ms, "lifted_by": by, "lift_reason": reason}
            number = append(connection, wall_ms, by, "lift", block_id, {"reason": reason})
            connection.execute(blocks.update().where(blocks.c.id == block_id).values(**lift, revision=number))
            ring(connection)
            return dataclasses.replace(records.block_from_row(row), **lift)

    # the fleet

    def revision(self) -> int:
        """Number of the last change. Everything up to it is visible to whoever reads afterwards."""
        with self._database.read("read the revision") as connection:
            return connection.execute(sa.select(sa.func.max(audit.c.number))).scalar() or 0

    def blocks_after(self, revision: int, limit: int = _PAGE) -> tuple[int, tuple[Block, ...]]:
        """The next changes of blocks after a revision, and the revision that they lead to.

        Blocks as they are now, lifted and ended ones included. Those of one change come together,
        over ``limit`` if need be; none: everything is known.
        """
        query = sa.select(blocks).where(blocks.c.revision > revision).order_by(blocks.c.revision, blocks.c.id)
        with self._database.read("read changes of blocks") as connection:
            rows = connection.execute(query.limit(limit)).all()
            if len(rows) == limit:
                last = rows[-1].revision
                rows = [row for row in rows if row.revision != last]
                whole = sa.select(blocks).where(blocks.c.revision == last).order_by(blocks.c.id)
                rows += connection.execute(whole).all()
        return (
            rows[-1].revision if rows else revision,
            tuple(records.block_from_row(row) for row in rows),
        )

    def bell(self) -> Bell:
        """Rings when a gate has changed a block."""
        return Bell(self._database.engine, self._database.patience_ms)

    # policies

    def policy_current(self) -> tuple[Policy, int, str] | None:
        """The policy in force, when it was stored and by whom; None before the first."""
        return self._policy(sa.select(policies).order_by(policies.c.version.desc()).limit(1))

    def policy_version(self, version: int) -> tuple[Policy, int, str] | None:
        return self._policy(sa.select(policies).where(policies.c.version == version))

    def _policy(self, query: sa.Select[tuple[object, ...]]) -> tuple[Policy, int, str] | None:
        with self._database.read("read the policy") as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return parse_policy(row.json), row.created_ms, row.created_by

    def policy_put(
        self, policy: Policy, by: str, reason: str, wall_ms: int, expected_version: int | None
    ) -> Policy:
        """Store as the next version. Raises StaleVersion when another than the expected one is in force."""
        with self._database.write("store a policy") as connection:
            current = connection.execute(sa.select(sa.func.max(policies.c.version))).scalar() or 0
            if expected_version is not None and expected_version != current:
                raise StaleVersion(
                    f"expected_version: {expected_version} was edited, but version {current} is in force"
                )
            stored = policy.model_copy(update={"version": current + 1})
            connection.execute(
                policies.insert().values(
                    version=stored.version,
                    json=stored.model_dump_json(),
                    created_ms=wall_ms,
                    created_by=by,
                    reason=reason,
                )
            )
            append(connection, wall_ms, by, "policy", str(stored.version), {"reason": reason})
        return stored

    # audit

    def audit_rows(self, *, after: int = 0) -> Iterator[AuditRow]:
        """The audit log in order, page by page."""
        while True:
            query = sa.select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(_PAGE)
            with self._database.read("read the audit log") as connection:
                page = [AuditRow(*row) for row in connection.execute(query)]
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].number

    def audit_verify(self) -> int:
        """Number of rows; raises AuditBroken that names the first wrong one."""
        return verify_chain(self.audit_rows())


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
    number = append(
        connection,
        violation.durable_ms,
        GATE,
        "violation",
        incident.id,
        {
            **_summary(incident),
            "strike": violation.strike.id,
            "blocks": [block.id for block in violation.blocks],
            "until_ms": max(block.until_ms for block in violation.blocks),
        },
    )
    for block in violation.blocks:
        connection.execute(blocks.insert().values(**records.block_to_row(block), revision=number))
    ring(connection)


def _violation_of(connection: sa.Connection, incident: Incident) -> Violation | None:
    row = connection.execute(
        sa.select(strikes).where(
            sa.or_(strikes.c.incident_id == incident.id, strikes.c.stream_id == incident.stream_id)
        )
    ).first()
    if row is None:
        return None
    stored = _incident(connection, row.incident_id)
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


def _incident(connection: sa.Connection, incident_id: str) -> Incident:
    row = connection.execute(sa.select(incidents).where(incidents.c.id == incident_id)).first()
    if row is None:
        raise NotFound("incident", incident_id)
    return records.incident_from_row(row)


def _update_incident(connection: sa.Connection, incident_id: str, values: dict[str, object]) -> None:
    result = connection.execute(incidents.update().where(incidents.c.id == incident_id).values(values))
    if result.rowcount == 0:
        raise NotFound("incident", incident_id)


def _summary(incident: Incident) -> dict[str, object]:
    verdict = incident.verdict
    return {
        "action": verdict.action.value,
        "app": incident.publish.app,
        "broadcaster": incident.publish.broadcaster,
        "category": verdict.category,
        "model": verdict.model_digest,
        "policy_version": verdict.policy_version,
        "reason": verdict.reason,
        "score": verdict.score,
        "shadow": verdict.shadow,
        "stream_id": incident.stream_id,
    }
