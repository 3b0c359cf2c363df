"""Evidence on record: who has looked at it, holds, requests to erase it, and what was erased."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from edge.domain import Incident, IncidentState
from edge.errors import Conflict, LimitExceeded
from edge.ledger.base import PAGE, LedgerBase
from edge.ledger.incidents import read_incident, update_incident
from edge.ledger.tables import appeals, audit, incidents
from edge.retention import ErasedWhy, EvidenceAge, HeldEvidence, RetentionRules

EVIDENCE_READ = "evidence_read"
STREAM_WATCHED = "stream_watched"
EVIDENCE_ERASED = "evidence_erased"
_MOST_OF_ONE = 10_000
"""Most incidents of one broadcaster whose evidence is erased by one request."""
_DECIDED = {
    IncidentState.CONFIRMED.value: EvidenceAge.CONFIRMED,
    IncidentState.OVERTURNED.value: EvidenceAge.OVERTURNED,
}


class EvidenceRead(NamedTuple):
    """A person looks at a part of an incident's evidence."""

    incident_id: str
    part: str
    by: str


@dataclass(frozen=True, slots=True)
class ErasedFile:
    """A file that was erased, by what proves which one it was."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class EvidenceErasure:
    """The proof that evidence was erased, as the audit log has it."""

    incident_id: str
    why: str
    wall_ms: int
    files: tuple[ErasedFile, ...]


class EvidenceRecords(LedgerBase):
    def note_evidence_reads(self, readings: Sequence[EvidenceRead], wall_ms: int) -> None:
        """Records who looks at which part of which incident's evidence, all in one transaction."""
        with self._database.write_transaction("note readings of evidence") as connection:
            for incident_id, part, by in readings:
                self._audit(connection, wall_ms, by, EVIDENCE_READ, incident_id, {"part": part}, {})

    def note_stream_watched(self, stream_id: str, broadcaster: str, by: str, wall_ms: int) -> None:
        """Records that a person watches a live stream."""
        with self._database.write_transaction("note who watches a stream") as connection:
            self._audit(connection, wall_ms, by, STREAM_WATCHED, stream_id, {"broadcaster": broadcaster}, {})

    def hold_evidence(
        self, incident_id: str, reason: str, by: str, wall_ms: int, *, release: bool
    ) -> Incident:
        """Keeps evidence whatever its age, until it is released. Raises NotFound, and Conflict where it is on
        hold already, or not."""
        with self._database.write_transaction("hold evidence") as connection:
            before = read_incident(connection, incident_id).custody
            if release and before.hold_ms is None:
                raise Conflict(f"incident_id: {incident_id} is not on hold")
            if not release and before.hold_ms is not None:
                raise Conflict(f"incident_id: {incident_id} is on hold already, by {before.hold_by}")
            values: dict[str, object] = {"hold_ms": wall_ms, "hold_by": by, "hold_reason": reason}
            if release:
                values = dict.fromkeys(values)
            update_incident(connection, incident_id, values)
            what = "evidence_released" if release else "evidence_held"
            self._audit(
                connection, wall_ms, by, what, incident_id, {"reason": reason}, {incidents: [incident_id]}
            )
            return read_incident(connection, incident_id)

    def ask_erasure(self, broadcaster: str, reason: str, by: str, wall_ms: int) -> tuple[str, ...]:
        """Marks the evidence of a broadcaster's incidents to be erased, by the gates that hold it.

        Returns the ids of all of them, also those whose evidence has gone before. Raises LimitExceeded.
        """
        mine = incidents.c.broadcaster == broadcaster
        with self._database.write_transaction("ask for an erasure") as connection:
            query = sa.select(incidents.c.id).where(mine).order_by(incidents.c.id).limit(_MOST_OF_ONE + 1)
            ids = list(connection.execute(query).scalars())
            if len(ids) > _MOST_OF_ONE:
                raise LimitExceeded("broadcaster", _MOST_OF_ONE, len(ids), "incidents")
            values = {"erase_asked_ms": wall_ms, "erase_asked_by": by, "erase_reason": reason}
            connection.execute(
                incidents.update().where(mine, incidents.c.erase_asked_ms.is_(None)).values(values)
            )
            self._audit(
                connection, wall_ms, by, "erasure_asked", broadcaster, {"reason": reason}, {incidents: ids}
            )
            return tuple(ids)

    def held_evidence(
        self, *, of_all_gates: bool, incident_ids: Collection[str] | None = None
    ) -> tuple[HeldEvidence, ...]:
        """The evidence that is not erased, of this gate or of the fleet. What a newer gate wrote stays.

        ``incident_ids``: of these alone.
        """
        with self._database.read("read held evidence") as connection:
            if incident_ids is None:
                return _read_held(connection, self._kept(of_all_gates))
            found: list[HeldEvidence] = []
            wanted = list(incident_ids)
            for begin in range(0, len(wanted), PAGE):
                these = incidents.c.id.in_(wanted[begin : begin + PAGE])
                found += _read_held(connection, self._kept(of_all_gates) & these)
            return tuple(found)

    def due_evidence(
        self, rules: RetentionRules, wall_ms: int, *, of_all_gates: bool, decided: bool
    ) -> tuple[HeldEvidence, ...]:
        """The evidence that may have to go now, by request or age; ``decided``: also all that people have
        decided. What is on hold is left out, and most of the rest, however much is kept."""
        since = sa.func.coalesce(incidents.c.reviewed_ms, incidents.c.created_ms)
        is_decided = incidents.c.state.in_(_DECIDED)
        due: list[sa.ColumnElement[bool]] = [incidents.c.erase_asked_ms.is_not(None)]
        for age, keep_ms in rules.keep_ms.items():
            over = since < wall_ms - keep_ms
            if age is EvidenceAge.OPEN:
                due.append(~is_decided & (incidents.c.created_ms < wall_ms - keep_ms))
            elif age is EvidenceAge.APPEALED:
                due.append(is_decided & incidents.c.id.in_(sa.select(appeals.c.incident_id)) & over)
            else:
                states = [state for state, its_age in _DECIDED.items() if its_age is age]
                due.append(incidents.c.state.in_(states) & over)
        if decided:
            due.append(is_decided)
        wanted = self._kept(of_all_gates) & incidents.c.hold_ms.is_(None) & sa.or_(*due)
        with self._database.read("read evidence that has to go") as connection:
            return _read_held(connection, wanted)

    def evidence_size(self, *, of_all_gates: bool) -> tuple[int, tuple[str, ...]]:
        """Size of all evidence in bytes, as far as it is on record, and the incidents of which it is not."""
        kept = self._kept(of_all_gates)
        total = sa.select(sa.func.sum(incidents.c.evidence_bytes)).where(kept)
        unknown = sa.select(incidents.c.id).where(
            kept, incidents.c.evidence_bytes.is_(None), incidents.c.evidence_path.is_not(None)
        )
        with self._database.read("read the size of evidence") as connection:
            return int(connection.execute(total).scalar() or 0), tuple(connection.execute(unknown).scalars())

    def _kept(self, of_all_gates: bool) -> sa.ColumnElement[bool]:
        kept = sa.or_(incidents.c.evidence_path.is_not(None), incidents.c.evidence_erased_ms.is_(None))
        return kept if of_all_gates else sa.and_(kept, incidents.c.gate == self._gate)

    def record_evidence_erased(
        self, incident_id: str, why: ErasedWhy, files: Sequence[ErasedFile], by: str, wall_ms: int
    ) -> None:
        """Records what was erased, with the digest of each file. Call it once the files are gone.

        Does nothing where another gate was first.
        """
        with self._database.write_transaction("record an erasure") as connection:
            before = read_incident(connection, incident_id)
            if before.evidence_path is None and before.custody.evidence_erased_ms is not None:
                return
            values: dict[str, object] = {
                "evidence_erased_ms": wall_ms,
                "evidence_erased_why": why.value,
                "evidence_path": None,
            }
            update_incident(connection, incident_id, values)
            detail = {"why": why.value, "files": [asdict(file) for file in files]}
            self._audit(
                connection, wall_ms, by, EVIDENCE_ERASED, incident_id, detail, {incidents: [incident_id]}
            )

    def erased_evidence(self, incident_ids: Collection[str]) -> frozenset[str]:
        """Those of these incidents whose evidence was erased, so that no file of it may be anywhere."""
        found, wanted = set[str](), list(incident_ids)
        gone = sa.and_(incidents.c.evidence_path.is_(None), incidents.c.evidence_erased_ms.is_not(None))
        with self._database.read("read what was erased") as connection:
            for begin in range(0, len(wanted), PAGE):
                page = incidents.c.id.in_(wanted[begin : begin + PAGE])
                found |= set(connection.execute(sa.select(incidents.c.id).where(gone, page)).scalars())
        return frozenset(found)

    def evidence_erased_since(self, wall_ms: int) -> frozenset[str]:
        """Incidents whose evidence was erased from this time on."""
        query = sa.select(incidents.c.id).where(
            incidents.c.evidence_path.is_(None), incidents.c.evidence_erased_ms >= wall_ms
        )
        with self._database.read("read what was erased") as connection:
            return frozenset(connection.execute(query).scalars())

    def evidence_erasures(self, incident_ids: Sequence[str]) -> tuple[EvidenceErasure, ...]:
        """What was erased of these incidents, oldest first, as the audit log proves it."""
        wanted, found = list(incident_ids), list[Any]()
        query = sa.select(audit.c.number, audit.c.subject, audit.c.wall_ms, audit.c.detail)
        with self._database.read("read erasures") as connection:
            for begin in range(0, len(wanted), PAGE):
                these = audit.c.subject.in_(wanted[begin : begin + PAGE])
                found += connection.execute(query.where(audit.c.what == EVIDENCE_ERASED, these))
        found.sort(key=lambda row: int(row.number))
        return tuple(_erasure(row.subject, row.wall_ms, json.loads(row.detail)) for row in found)


def _read_held(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> tuple[HeldEvidence, ...]:
    query = sa.select(
        incidents.c.id,
        incidents.c.state,
        incidents.c.created_ms,
        incidents.c.reviewed_ms,
        incidents.c.gate,
        incidents.c.evidence_bytes,
        incidents.c.evidence_sha256,
        incidents.c.hold_ms,
        incidents.c.erase_asked_ms,
    ).where(wanted)
    rows = connection.execute(query).all()
    decided: dict[str, int | None] = {}
    ids = [row.id for row in rows]
    for begin in range(0, len(ids), PAGE):
        appealed = sa.select(appeals.c.incident_id, appeals.c.decided_ms).where(
            appeals.c.incident_id.in_(ids[begin : begin + PAGE])
        )
        for row in connection.execute(appealed):
            before = decided.get(row.incident_id, 0)
            open_ = row.decided_ms is None or before is None
            decided[row.incident_id] = None if open_ else max(before or 0, row.decided_ms)
    return tuple(_held(row, decided) for row in rows)


def _held(row: Any, decided: dict[str, int | None]) -> HeldEvidence:
    age, since_ms = _DECIDED.get(row.state, EvidenceAge.OPEN), row.created_ms
    if age is not EvidenceAge.OPEN:
        since_ms = row.reviewed_ms or row.created_ms
        if decided.get(row.id):
            age, since_ms = EvidenceAge.APPEALED, max(since_ms, decided[row.id] or 0)
    known = set(IncidentState)
    return HeldEvidence(
        incident_id=row.id,
        age=age,
        since_ms=since_ms,
        bytes=row.evidence_bytes,
        gate=row.gate,
        sha256=row.evidence_sha256,
        on_hold=row.hold_ms is not None or IncidentState(row.state) not in known,
        appeal_open=row.id in decided and decided[row.id] is None,
        erase_asked=row.erase_asked_ms is not None,
    )


def _erasure(incident_id: str, wall_ms: int, detail: dict[str, Any]) -> EvidenceErasure:
    files = (ErasedFile(str(f["name"]), int(f["bytes"]), str(f["sha256"])) for f in detail["files"])
    return EvidenceErasure(incident_id, str(detail["why"]), wall_ms, tuple(files))
