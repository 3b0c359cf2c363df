"""Crises on record. What people and the gate do in one is its log, in the audit chain."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from edge.crisis import Crisis, CrisisState
from edge.domain import Action, IncidentState
from edge.errors import AlreadyExists, LimitExceeded, NotFound, UnknownRow
from edge.ledger import records
from edge.ledger.audit import AuditRow, next_number
from edge.ledger.base import LedgerBase
from edge.ledger.change_listener import notify
from edge.ledger.tables import audit, crises, incidents
from edge.ledger.unknown_rows import readable

MOST_AT_ONCE: Final = 8
"""Most crises that have not ended, so that a fleet's policy stays one that people understand."""
MOST_LOGGED: Final = 10_000
MOST_MATCHES: Final = 20_000
"""Most incidents that the figures of a crisis are counted from: the newest ones."""
_CRISIS: Final = TypeAdapter(Crisis)
_LIVE: Final = (CrisisState.PROPOSED.value, CrisisState.IN_FORCE.value)


@dataclass(frozen=True, slots=True)
class CrisisMatch:
    """An incident that the bank of a crisis led to."""

    app: str
    gate: str
    cut: bool
    """Whether the stream was to be cut. Otherwise people were asked, or shadow mode only wrote it down."""
    overturned: bool
    variant: str
    """The variant of the footage that was found; empty for audio, and where an older gate wrote it."""
    created_ms: int
    cut_confirmed_ms: int | None


class Crises(LedgerBase):
    def declare_crisis(self, crisis: Crisis) -> Crisis:
        """Records a new crisis. Raises AlreadyExists, and LimitExceeded where too many have not ended."""
        with self._database.write_transaction("declare a crisis") as connection:
            if _row(connection, crisis.name) is not None:
                raise AlreadyExists(f"crisis {crisis.name} is on record already: a name counts once")
            live = sa.select(sa.func.count()).where(crises.c.state.in_(_LIVE))
            if (count := connection.execute(live).scalar_one()) >= MOST_AT_ONCE:
                raise LimitExceeded("crises", MOST_AT_ONCE, count + 1, "crises at a time")
            number = next_number(connection)
            made = dataclasses.replace(crisis, revision=number, declared_at=number)
            connection.execute(crises.insert().values(name=made.name, **_columns(made)))
            detail = {
                "state": made.state.value,
                "for_ms": made.for_ms,
                "patch": made.patch,
                "apps": list(made.apps),
                "share": made.share,
                "drill": made.drill,
                "reason": made.reason,
            }
            self._crisis_audit(
                connection, made, "crisis_declared", made.declared_by, made.declared_ms, detail
            )
            notify(connection)
        return made

    def change_crisis(
        self, name: str, change: Callable[[Crisis], Crisis], what: str, by: str, reason: str, wall_ms: int
    ) -> Crisis:
        """Records what ``change`` makes of a crisis, and passes its errors on. Raises NotFound."""
        with self._database.write_transaction(what) as connection:
            changed = dataclasses.replace(change(_read(connection, name)), revision=next_number(connection))
            connection.execute(crises.update().where(crises.c.name == name).values(**_columns(changed)))
            detail = {"state": changed.state.value, "reason": reason}
            self._crisis_audit(connection, changed, what, by, wall_ms, detail)
            notify(connection)
        return changed

    def note_crisis(self, name: str, what: str, by: str, wall_ms: int, detail: Mapping[str, Any]) -> None:
        """Adds to the log of a crisis. Raises NotFound."""
        with self._database.write_transaction(what) as connection:
            crisis = _read(connection, name)
            self._audit(connection, wall_ms, by, what, _subject(crisis), detail, {})

    def crisis(self, name: str) -> Crisis:
        """Raises NotFound."""
        with self._database.read("read a crisis") as connection:
            return _read(connection, name)

    def crises(self, *, ended: bool = True, limit: int = 100) -> tuple[Crisis, ...]:
        """Crises on record, newest first. ``ended``: also those that have ended."""
        query = sa.select(crises).order_by(crises.c.declared_ms.desc(), crises.c.name).limit(limit)
        if not ended:
            query = query.where(crises.c.state.in_(_LIVE))
        with self._database.read("read crises") as connection:
            return tuple(readable(connection, connection.execute(query), _from_row))

    def crisis_log(self, name: str) -> tuple[AuditRow, ...]:
        """What was done in a crisis, oldest first. Raises NotFound."""
        with self._database.read("read the log of a crisis") as connection:
            crisis = _read(connection, name)
            query = (
                sa.select(audit)
                .where(audit.c.number >= crisis.declared_at, audit.c.subject == _subject(crisis))
                .order_by(audit.c.number)
                .limit(MOST_LOGGED)
            )
            return tuple(AuditRow(*row) for row in connection.execute(query))

    def crisis_matches(self, crisis: Crisis) -> tuple[CrisisMatch, ...]:
        """Incidents that the bank of a crisis led to while it was in force, newest first."""
        since_ms = crisis.declared_ms
        query = (
            sa.select(incidents)
            # An id begins with the time: what is older is not even looked at.
            .where(incidents.c.id >= f"in_{since_ms * 1_000_000:016x}", incidents.c.created_ms >= since_ms)
            .where(incidents.c.verdict.like(f'%"bank": "{crisis.bank}"%'))
            .order_by(incidents.c.id.desc())
            .limit(MOST_MATCHES)
        )
        if crisis.ended_ms is not None:
            query = query.where(incidents.c.created_ms <= crisis.ended_ms)
        with self._database.read("read the incidents of a crisis") as connection:
            rows = connection.execute(query)
            return tuple(readable(connection, rows, lambda row: _match_from_row(row, crisis.bank)))

    def _crisis_audit(
        self,
        connection: sa.Connection,
        crisis: Crisis,
        what: str,
        by: str,
        wall_ms: int,
        detail: Mapping[str, Any],
    ) -> None:
        rows = {crises: [crisis.name]}
        self._audit(connection, wall_ms, by, what, _subject(crisis), detail, rows)


def crises_revision(connection: sa.Connection) -> int:
    """Number of the newest change of a crisis; 0 before the first."""
    return connection.execute(sa.select(sa.func.max(crises.c.revision))).scalar() or 0


def _subject(crisis: Crisis) -> str:
    return f"crisis/{crisis.name}"


def _columns(crisis: Crisis) -> dict[str, Any]:
    return {
        "state": crisis.state.value,
        "declared_ms": crisis.declared_ms,
        "revision": crisis.revision,
        "crisis": json.dumps(dataclasses.asdict(crisis), ensure_ascii=False, sort_keys=True),
    }


def _row(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    return connection.execute(sa.select(crises).where(crises.c.name == name)).first()


def _read(connection: sa.Connection, name: str) -> Crisis:
    row = _row(connection, name)
    if row is None:
        raise NotFound("crisis", name)
    return _from_row(row)


def _match_from_row(row: Any, bank: str) -> CrisisMatch:
    with records.known_row(incidents.name, row):
        verdict = records.verdict_from_json(row.verdict)
        return CrisisMatch(
            app=row.app,
            gate=row.gate or "",
            cut=verdict.action is Action.CUT and not verdict.shadow,
            overturned=row.state == IncidentState.OVERTURNED.value,
            variant=next((one.variant or "" for one in verdict.signals if one.bank == bank), ""),
            created_ms=row.created_ms,
            cut_confirmed_ms=row.cut_confirmed_ms,
        )


def _from_row(row: Any) -> Crisis:
    try:
        return _CRISIS.validate_json(row.crisis)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UnknownRow(crises.name, str(row.name), f"{where}: {first['msg']}") from None
