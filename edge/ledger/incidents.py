"""Incidents: what the gate decided on a stream, and what became of the cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import sqlalchemy as sa

from edge.banking import Banking, BankingState
from edge.domain import Action, Activity, Incident, IncidentState, Publish, Verdict
from edge.errors import NotFound
from edge.ledger import records
from edge.ledger.base import GATE, PAGE, LedgerBase
from edge.ledger.tables import audit, incidents
from edge.ledger.unknown_rows import readable
from edge.reasons import UnconfirmedReason

STREAM_CUT = "stream_cut"
ACTIVITY = "activity"
UNDECIDED = (IncidentState.OPEN, IncidentState.CONFIRMED_ONCE, IncidentState.ESCALATED)


class Incidents(LedgerBase):
    def record_incident(self, incident: Incident, wall_ms: int) -> None:
        """Records an incident without a strike: FLAG, or any action withheld by shadow mode. Idempotent."""
        with self._database.write_transaction("record an incident") as connection:
            known = connection.execute(sa.select(incidents.c.id).where(incidents.c.id == incident.id))
            if known.first() is None:
                connection.execute(
                    incidents.insert().values(**records.incident_to_row(incident), gate=self._gate)
                )
                self._audit(
                    connection,
                    wall_ms,
                    GATE,
                    "incident",
                    incident.id,
                    summary(incident),
                    {incidents: [incident.id]},
                )

    def record_stream_cut(
        self, stream_id: str, publish: Publish, reason: str, block_id: str | None, wall_ms: int
    ) -> None:
        """Records a cut without a verdict: a block made elsewhere, or a stream that cannot be watched."""
        with self._database.write_transaction("record a cut") as connection:
            self._audit(
                connection, wall_ms, GATE, STREAM_CUT, stream_id, _cut_of(publish, reason, block_id), {}
            )

    def note_ordered_cut(self, stream_id: str, reason: str, by: str, wall_ms: int) -> None:
        """Records that a person has a stream cut, before it is."""
        with self._database.write_transaction("note an ordered cut") as connection:
            self._audit(connection, wall_ms, by, "cut_ordered", stream_id, {"reason": reason}, {})

    def adopt_stream_cut(
        self, stream_id: str, publish: Publish, reason: str, block_id: str | None, wall_ms: int
    ) -> None:
        """Like ``record_stream_cut``, for a cut that may be recorded already. Idempotent by stream."""
        known = sa.select(audit.c.number).where(audit.c.what == STREAM_CUT, audit.c.subject == stream_id)
        with self._database.write_transaction("adopt a cut") as connection:
            if connection.execute(known.limit(1)).first() is None:
                detail = _cut_of(publish, reason, block_id)
                self._audit(connection, wall_ms, GATE, STREAM_CUT, stream_id, detail, {})

    def mark_cut_asked(self, incident_id: str, wall_ms: int, durable_ms: int | None = None) -> None:
        """Marks that the cut was requested. ``durable_ms`` is when the violation's commit returned to the
        caller."""
        values: dict[str, object] = {"cut_asked_ms": wall_ms}
        if durable_ms is not None:
            values["durable_ms"] = durable_ms
        self._mark(incident_id, wall_ms, "cut_asked", values)

    def mark_cut_confirmed(self, incident_id: str, wall_ms: int, by: str) -> None:
        self._mark(incident_id, wall_ms, "cut_confirmed", {"cut_confirmed_ms": wall_ms, "confirmed_by": by})

    def mark_cut_unconfirmed(self, incident_id: str, wall_ms: int, reason: UnconfirmedReason) -> None:
        """Marks that nothing has proven the cut. Raises the alarm for people."""
        values: dict[str, object] = {"cut_unconfirmed_ms": wall_ms, "cut_unconfirmed_reason": reason.value}
        self._mark(incident_id, wall_ms, "cut_unconfirmed", values)

    def set_evidence(
        self,
        incident_id: str,
        path: str,
        wall_ms: int,
        span_pts_ms: tuple[int, int] | None = None,
        sha256: str | None = None,
        size: int | None = None,
    ) -> None:
        """``span_pts_ms`` is the media time of the clip's first and last frame; ``sha256`` (hexadecimal) and
        ``size`` (bytes) are of the clip. None: not known."""
        values: dict[str, object] = {"evidence_path": path}
        if span_pts_ms is not None:
            values["evidence_begin_pts_ms"], values["evidence_end_pts_ms"] = span_pts_ms
        if sha256 is not None:
            values |= {"evidence_sha256": sha256, "evidence_bytes": size}
        self._mark(incident_id, wall_ms, "evidence", values)

    def note_activity(
        self, incident_id: str, activity: Activity, verdict: Verdict | None, wall_ms: int
    ) -> None:
        """Notes how an incident has gone on. ``verdict`` is what it rests on now, None the same as before."""
        values: dict[str, object] = dataclasses.asdict(activity)
        if verdict is not None:
            values |= records.verdict_to_columns(verdict)
        self._mark(incident_id, wall_ms, ACTIVITY, values)

    def set_banking(self, incident_id: str, banking: Banking, wall_ms: int) -> None:
        """Records what of an incident became known footage."""
        self._mark(incident_id, wall_ms, "banking", {"banking": records.banking_to_json(banking)})

    def _mark(self, incident_id: str, wall_ms: int, what: str, values: dict[str, object]) -> None:
        with self._database.write_transaction(what) as connection:
            update_incident(connection, incident_id, values)
            self._audit(connection, wall_ms, GATE, what, incident_id, values, {incidents: [incident_id]})

    def adopt_mark(self, incident_id: str, wall_ms: int, what: str, values: Mapping[str, object]) -> None:
        """Writes a mark that the journal held, once. Raises NotFound."""
        with self._database.write_transaction(f"adopt {what}") as connection:
            row = connection.execute(sa.select(incidents).where(incidents.c.id == incident_id)).mappings()
            known = row.first()
            if known is None or any(known[name] != value for name, value in values.items()):
                update_incident(connection, incident_id, values)
                self._audit(connection, wall_ms, GATE, what, incident_id, values, {incidents: [incident_id]})

    def pending_bankings(self) -> tuple[Incident, ...]:
        """This gate's incidents whose footage is yet to be banked, or to be taken out again.

        A mark of a banking that ended while its incident was overturned, or its confirmation undone, changes
        nothing of that.
        """
        all_of_it = (
            BankingState.WITHDRAWING,
            BankingState.PENDING,
            BankingState.BANKED,
            BankingState.FAILED,
        )
        unfinished = {
            IncidentState.CONFIRMED: (BankingState.PENDING,),
            IncidentState.OVERTURNED: all_of_it,
            # Their confirmation was undone.
            IncidentState.OPEN: all_of_it,
            IncidentState.CONFIRMED_ONCE: all_of_it,
            IncidentState.ESCALATED: (BankingState.WITHDRAWING,),
        }
        query = (
            sa.select(incidents)
            .where(
                incidents.c.gate == self._gate,
                sa.or_(
                    *(
                        sa.and_(
                            incidents.c.state == state.value,
                            sa.or_(
                                *(
                                    incidents.c.banking.contains(f'"state": "{each}"', autoescape=True)
                                    for each in bankings
                                )
                            ),
                        )
                        for state, bankings in unfinished.items()
                    )
                ),
            )
            .order_by(incidents.c.id.desc())
            .limit(PAGE)
        )
        with self._database.read("read pending bankings") as connection:
            return tuple(readable(connection, connection.execute(query), records.incident_from_row))

    def pending_cuts(self) -> tuple[Incident, ...]:
        """This gate's durable cuts without proof. The gate resumes them after a restart."""
        query = (
            sa.select(incidents)
            .where(
                incidents.c.gate == self._gate,
                incidents.c.action == Action.CUT.value,
                incidents.c.durable_ms.is_not(None),
                incidents.c.cut_confirmed_ms.is_(None),
                sa.func.coalesce(incidents.c.cut_unconfirmed_reason, "")
                != UnconfirmedReason.CALLER_GONE.value,
                incidents.c.state != IncidentState.OVERTURNED.value,
            )
            .order_by(incidents.c.id.desc())
            .limit(PAGE)
        )
        with self._database.read("read pending cuts") as connection:
            return tuple(readable(connection, connection.execute(query), records.incident_from_row))

    def going_on(self, since_ms: int) -> tuple[Incident, ...]:
        """This gate's flagged incidents that nobody has decided and whose newest sign came since then.

        Oldest first.
        """
        query = (
            sa.select(incidents)
            .where(
                incidents.c.gate == self._gate,
                incidents.c.seen_ms >= since_ms,
                sa.or_(incidents.c.action == Action.FLAG.value, incidents.c.shadow),
                incidents.c.state.in_([state.value for state in UNDECIDED]),
            )
            .order_by(incidents.c.id)
        )
        with self._database.read("read what goes on") as connection:
            return tuple(readable(connection, connection.execute(query), records.incident_from_row))

    def incident(self, incident_id: str) -> Incident:
        with self._database.read("read an incident") as connection:
            return read_incident(connection, incident_id)

    def incidents(
        self,
        *,
        broadcaster: str | None = None,
        state: IncidentState | None = None,
        category: str | None = None,
        app: str | None = None,
        claimed_by: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int = 100,
        before_id: str | None = None,
    ) -> tuple[Incident, ...]:
        """Incidents that match, newest first. ``since_ms`` is inclusive, ``until_ms`` exclusive."""
        query = sa.select(incidents).order_by(incidents.c.id.desc()).limit(limit)
        for column, wanted in (
            (incidents.c.broadcaster, broadcaster),
            (incidents.c.state, None if state is None else state.value),
            (incidents.c.category, category),
            (incidents.c.app, app),
            (incidents.c.claimed_by, claimed_by),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        if since_ms is not None:
            query = query.where(incidents.c.created_ms >= since_ms)
        if until_ms is not None:
            query = query.where(incidents.c.created_ms < until_ms)
        if before_id is not None:
            query = query.where(incidents.c.id < before_id)
        with self._database.read("read incidents") as connection:
            return tuple(readable(connection, connection.execute(query), records.incident_from_row))


def read_incident(connection: sa.Connection, incident_id: str) -> Incident:
    row = connection.execute(sa.select(incidents).where(incidents.c.id == incident_id)).first()
    if row is None:
        raise NotFound("incident", incident_id)
    return records.incident_from_row(row)


def update_incident(connection: sa.Connection, incident_id: str, values: Mapping[str, object]) -> None:
    result = connection.execute(incidents.update().where(incidents.c.id == incident_id).values(values))
    if result.rowcount == 0:
        raise NotFound("incident", incident_id)


def _cut_of(publish: Publish, reason: str, block_id: str | None) -> dict[str, object]:
    return {
        "server": publish.server,
        "connection": publish.connection,
        "app": publish.app,
        "name": publish.name,
        "broadcaster": publish.broadcaster,
        "identity_proven": publish.identity_proven,
        "reason": reason,
        "block_id": block_id,
    }


def summary(incident: Incident) -> dict[str, object]:
    verdict = incident.verdict
    return {
        "action": verdict.action.value,
        "app": incident.publish.app,
        "broadcaster": incident.publish.broadcaster,
        "identity_proven": incident.publish.identity_proven,
        "category": verdict.category,
        "model": verdict.model_digest,
        "policy_version": verdict.policy_version,
        "reason": verdict.reason,
        "score": verdict.score,
        "shadow": verdict.shadow,
        "stream_id": incident.stream_id,
    }
