"""Undoes a person's decision about an incident while that is fresh: every row is as it was before.

A decision keeps, beside the incident, what it changed: of each row the columns with their values before and
after, and its digest. Undoing puts the former back, and does nothing at all where a row has changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from edge.banking import undone as banking_when_undone
from edge.domain import Block, Incident
from edge.errors import Conflict, PermissionRefused
from edge.ledger import records
from edge.ledger.audit import next_number, row_digest
from edge.ledger.base import LedgerBase
from edge.ledger.change_listener import notify
from edge.ledger.claims import check_free
from edge.ledger.incidents import read_incident, update_incident
from edge.ledger.strike_rows import strike_names
from edge.ledger.tables import appeals, blocks, incidents, strikes
from edge.ledger.unknown_rows import readable

Rows = dict[str, dict[str, dict[str, Any]]]
"""By table and id, the columns of a row."""
_TABLES: Final = {table.name: table for table in (incidents, strikes, blocks, appeals)}
_KEPT: Final = {"undo", "undo_until_ms", "revision", "looked_ms", "looked_by"}
"""Columns that an undoing leaves alone, or sets itself."""
_BANKING: Final = "banking"
"""A column that goes on changing after a decision."""
_NOTHING: Final[dict[str, object]] = {"undo": None, "undo_until_ms": None}


def rows_before(connection: sa.Connection, incident_id: str) -> Rows:
    """Every row that a decision about an incident may change, as it is."""
    of_incident = connection.execute(
        sa.select(strikes.c.broadcaster).where(strikes.c.incident_id == incident_id)
    ).scalars()
    names = strike_names(of_incident)
    given = _read(connection, strikes, strikes.c.broadcaster.in_(names))
    led_from = {incident_id} | {row["incident_id"] for row in given.values() if row["incident_id"]}
    rests = sa.or_(blocks.c.incident_id.in_(led_from), blocks.c.strike_id.in_(list(given)))
    return {
        incidents.name: _read(connection, incidents, incidents.c.id == incident_id),
        strikes.name: given,
        blocks.name: _read(connection, blocks, rests),
        appeals.name: _read(connection, appeals, appeals.c.incident_id == incident_id),
    }


def what_changed(connection: sa.Connection, before: Rows, written: Mapping[sa.Table, Iterable[str]]) -> str:
    """What a decision has changed of these rows, as text for ``undo_review``."""
    changed: dict[str, dict[str, Any]] = {}
    for table, ids in written.items():
        for key, now in _read(connection, table, table.c.id.in_(list(ids))).items():
            was = before[table.name][key]
            columns = {
                name: [was[name], value]
                for name, value in now.items()
                if name == _BANKING or (name not in _KEPT and value != was[name])
            }
            if columns:
                # What an incident is goes on changing. Of the others each change is a decision.
                digest = "" if table is incidents else row_digest(table, now)
                changed.setdefault(table.name, {})[key] = {"columns": columns, "digest": digest}
    return json.dumps(changed, ensure_ascii=False, sort_keys=True)


class Undoing(LedgerBase):
    def undo_review(self, incident_id: str, by: str, wall_ms: int) -> tuple[Incident, tuple[Block, ...]]:
        """Takes back the last decision about an incident. Returns it with every changed block.

        Raises NotFound, PermissionRefused for another person's decision, and Conflict where it is too late,
        somebody else has claimed it, or something has changed since.
        """
        with self._database.write_transaction("undo a review") as connection:
            incident = read_incident(connection, incident_id)
            changed = _undoable(connection, incident, by, wall_ms)
            number = next_number(connection)
            for name, rows in changed.items():
                self._put_back(connection, _TABLES[name], rows, number)
            update_incident(connection, incident_id, _NOTHING)
            after = read_incident(connection, incident_id)
            given = changed.get(strikes.name, {})
            detail = {
                "decision": "undone",
                "undone": incident.state.value,
                "state": after.state.value,
                "reason": "",
                "restored": [key for key, row in given.items() if "pardoned_ms" in row["columns"]],
            }
            written = {_TABLES[name]: list(rows) for name, rows in changed.items()}
            self._audit(connection, wall_ms, by, "undo", incident_id, detail, written)
            ids = list(changed.get(blocks.name, ()))
            found = connection.execute(sa.select(blocks).where(blocks.c.id.in_(ids)).order_by(blocks.c.id))
            again = tuple(readable(connection, found, records.block_from_row))
            if again:
                notify(connection)
            return after, again

    def _put_back(
        self, connection: sa.Connection, table: sa.Table, rows: dict[str, Any], number: int
    ) -> None:
        present = _read(connection, table, table.c.id.in_(list(rows)))
        for key, row in rows.items():
            now, columns = present.get(key, {}), row["columns"]
            values = {name: was for name, (was, _) in columns.items()}
            if _BANKING in values:
                before, current = values[_BANKING], now.get(_BANKING)
                banking = banking_when_undone(
                    before and records.banking_from_json(before),
                    current and records.banking_from_json(current),
                )
                values[_BANKING] = banking and records.banking_to_json(banking)
            moved = [
                name for name, (_, left) in columns.items() if name != _BANKING and now.get(name) != left
            ]
            other = bool(row["digest"]) and row["digest"] != row_digest(table, now)
            if moved or other:
                raise Conflict(
                    f"incident_id: {table.name} {key} has changed since the decision"
                    f"{': ' + ', '.join(moved) if moved else ''}; decide anew in place of undoing"
                )
            if table is blocks:
                values["revision"] = number
            connection.execute(table.update().where(table.c.id == key).values(**values))


def _undoable(
    connection: sa.Connection, incident: Incident, by: str, wall_ms: int
) -> dict[str, dict[str, Any]]:
    """What the last decision changed, if that person can take it back now."""
    text = connection.execute(sa.select(incidents.c.undo).where(incidents.c.id == incident.id)).scalar_one()
    review = incident.review
    if text is None or review.undo_until_ms is None:
        raise Conflict(f"incident_id: {incident.id} has no decision that can be undone")
    if review.reviewed_by != by:
        raise PermissionRefused(
            f"incident_id: {incident.id} was decided by {review.reviewed_by}, who alone can undo it"
        )
    if wall_ms >= review.undo_until_ms:
        until = datetime.fromtimestamp(review.undo_until_ms / 1000, UTC)
        raise Conflict(
            f"incident_id: {incident.id} could be undone until {until:%H:%M:%S} UTC; decide anew instead"
        )
    check_free(incident, by, wall_ms)
    try:
        changed = json.loads(text)
        if not changed.keys() <= _TABLES.keys():
            raise ValueError(text)
    except (ValueError, AttributeError):
        raise Conflict(f"incident_id: what {incident.id} was before cannot be read") from None
    return dict(changed)


def _read(
    connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]
) -> dict[str, dict[str, Any]]:
    return {row["id"]: dict(row) for row in connection.execute(sa.select(table).where(which)).mappings()}
