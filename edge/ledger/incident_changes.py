"""What has changed of incidents since a number of the audit log, for people who watch them.

Each change of the ledger is a numbered entry of the audit log, without a gap and in the order in which the
changes become visible. An entry names the rows that it wrote, so it says which incidents changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from edge.domain import Incident
from edge.ledger import records
from edge.ledger.audit import ROWS
from edge.ledger.base import PAGE, LedgerBase
from edge.ledger.proof import EMPTY, Head
from edge.ledger.tables import appeals, audit, blocks, comments, incidents, strikes
from edge.ledger.unknown_rows import readable

_LEADING_TO = (strikes, blocks, appeals, comments)
"""Tables whose rows name an incident. A change of them is one of it."""


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """An incident as it is now, and what changed it last."""

    number: int
    """Of the audit log's entry."""
    digest: str
    """Of the same."""
    previous: str
    """Digest of the entry before it."""
    incident: Incident
    what: str
    """What was done, the word of the audit log."""
    by: str
    wall_ms: int


@dataclass(frozen=True, slots=True)
class IncidentChanges:
    """One page of changes, in order of their numbers. An incident is in it once, with its newest change."""

    changes: tuple[IncidentChange, ...]
    upto: int
    """Number of the last entry that the page covers."""
    digest: str
    """Of the same. Empty before the first entry."""
    newest: int
    """Number of the newest entry of all."""
    lost: bool
    """The entry after which was asked is not there, or is another one: the database has lost commits."""


@dataclass(frozen=True, slots=True)
class _Changed:
    number: int
    digest: str
    previous: str
    what: str
    by: str
    wall_ms: int


class ChangedIncidents(LedgerBase):
    def head(self) -> Head:
        """The newest entry of the audit log."""
        query = sa.select(audit.c.number, audit.c.digest).order_by(audit.c.number.desc()).limit(1)
        with self._database.read("read the newest change") as connection:
            row = connection.execute(query).first()
        return EMPTY if row is None else Head(row.number, row.digest)

    def incident_changes(self, after: int, digest: str = "") -> IncidentChanges:
        """Changes after the entry of this number, from the next thousand entries. ``digest``: what that entry
        had; empty: not known."""
        query = sa.select(audit).where(audit.c.number >= after).order_by(audit.c.number).limit(PAGE + 1)
        with self._database.read("read changes of incidents") as connection:
            upto, known, changed = after, "", dict[str, _Changed]()
            lost = after > 0
            for row in connection.execute(query):
                upto, known = row.number, row.digest
                if row.number == after:
                    lost = bool(digest) and row.digest != digest
                    continue
                entry = _Changed(row.number, row.digest, row.previous, row.what, row.who, row.wall_ms)
                for incident_id in _incidents_of(connection, row.detail):
                    changed[incident_id] = entry
            newest = connection.execute(sa.select(sa.func.max(audit.c.number))).scalar() or 0
            found = _read(connection, changed)
        changes = [
            IncidentChange(
                entry.number,
                entry.digest,
                entry.previous,
                found[incident_id],
                entry.what,
                entry.by,
                entry.wall_ms,
            )
            for incident_id, entry in changed.items()
            if incident_id in found
        ]
        changes.sort(key=lambda change: (change.number, change.incident.id))
        return IncidentChanges(tuple(changes), upto, known, newest, lost)


def _incidents_of(connection: sa.Connection, detail: str) -> set[str]:
    """Ids of the incidents that an entry changed, themselves or in what they led to."""
    try:
        written = json.loads(detail)[ROWS]
        found = set(written.get(incidents.name, ()))
        for table in _LEADING_TO if not found else ():
            if ids := list(written.get(table.name, ())):
                query = sa.select(table.c.incident_id).where(table.c.id.in_(ids))
                found |= {row.incident_id for row in connection.execute(query) if row.incident_id}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()  # edited by hand: `audit verify` tells
    return found


def _read(connection: sa.Connection, ids: Collection[str]) -> dict[str, Incident]:
    query, wanted = sa.select(incidents), list(ids)
    found: dict[str, Incident] = {}
    for begin in range(0, len(wanted), PAGE):
        page = query.where(incidents.c.id.in_(wanted[begin : begin + PAGE]))
        for incident in readable(connection, connection.execute(page), records.incident_from_row):
            found[incident.id] = incident
    return found
