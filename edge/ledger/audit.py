"""The audit chain: each entry carries the digest of the previous one, so tampering shows.

    digest(n) = sha256(digest(n-1) ‖ canonical JSON of entry n)

Under ``rows`` of its detail an entry carries the digest of every ledger row that the decision wrote. So a
block, strike, incident or policy that was edited by hand shows too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from edge.errors import AuditBroken
from edge.ledger.tables import audit

GENESIS = "0" * 64
GATE_NAME = "gate"
ROWS = "rows"
"""Key of the detail that maps table to primary key to row digest. The digest of a deleted row is null."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry: who did what to whom, and when."""

    number: int
    wall_ms: int
    who: str
    what: str
    subject: str
    detail: str
    """Canonical JSON."""
    previous: str
    digest: str


def digest_of(row: AuditRow) -> str:
    """The digest that the row must carry."""
    body = json.dumps(
        [row.number, row.wall_ms, row.who, row.what, row.subject, row.detail],
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return hashlib.sha256(f"{row.previous}\n{body}".encode("utf-8", "surrogatepass")).hexdigest()


def chain_problems(
    rows: Iterable[AuditRow], *, first: int = 1, anchor: str = GENESIS
) -> Iterator[AuditBroken | AuditRow]:
    """Yields every row in order. Before each wrong row it yields what is wrong with it. Pure.

    ``first`` and ``anchor`` are the number that the first row must have and the digest that it must follow.
    After a wrong row the check continues from what that row says. So one change gives one finding, or two on
    neighbouring rows.
    """
    previous, expected = anchor, first
    for row in rows:
        if row.number < expected:
            yield AuditBroken(row.number, f"is out of order, row {expected - 1} is before it")
        elif row.number > expected:
            missing = f"is missing, row {row.number} follows"
            if row.number > expected + 1:
                missing = f"to {row.number - 1} are missing, row {row.number} follows"
            yield AuditBroken(expected, missing)
        elif row.previous != previous:
            yield AuditBroken(
                row.number, "does not follow from the row before it: one of the two was changed"
            )
        if row.digest != digest_of(row):
            yield AuditBroken(row.number, "was changed after it was written")
        yield row
        previous, expected = row.digest, row.number + 1


def verify_chain(rows: Iterable[AuditRow]) -> int:
    """Returns the number of rows. Raises AuditBroken, which names the first wrong row."""
    count = 0
    for found in chain_problems(rows):
        if isinstance(found, AuditBroken):
            raise found
        count += 1
    return count


def row_digest(table: sa.Table, values: Mapping[str, Any]) -> str:
    """Digest of one row. ``values`` maps column names to values.

    A column that holds its default is left out. So a column added later does not change the digests of older
    rows.
    """
    written = {
        column.name: values[column.name]
        for column in table.columns
        if not _is_default(column, values[column.name])
    }
    body = json.dumps([table.name, written], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def _is_default(column: sa.Column[Any], value: object) -> bool:
    if value is None:
        return True
    default = column.server_default
    if not isinstance(default, sa.DefaultClause):
        return False
    text = str(default.arg).strip("'").lower()
    if isinstance(value, bool):
        return text in (("1", "true") if value else ("0", "false"))
    return str(value) == text


def next_number(connection: sa.Connection) -> int:
    """The number that the next ``append`` in this transaction gives. Rows carry it as their revision."""
    return (connection.execute(sa.select(sa.func.max(audit.c.number))).scalar() or 0) + 1


def append(
    connection: sa.Connection,
    wall_ms: int,
    who: str,
    what: str,
    subject: str,
    detail: Mapping[str, Any],
    rows: Mapping[sa.Table, Iterable[Any]],
    *,
    gate: str = "",
) -> int:
    """Appends an entry inside the caller's transaction. Returns its number.

    ``rows`` lists by table the primary keys of every row that the decision wrote or removed. Their digests
    become part of the entry, so call this after the writes. ``gate`` is the gate that decided.
    """
    last = connection.execute(
        sa.select(audit.c.number, audit.c.digest).order_by(audit.c.number.desc()).limit(1)
    ).first()
    detail = {**detail, **({GATE_NAME: gate} if gate else {}), ROWS: _digests(connection, rows)}
    row = AuditRow(
        number=1 if last is None else last.number + 1,
        wall_ms=wall_ms,
        who=who,
        what=what,
        subject=subject,
        detail=json.dumps(detail, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        previous=GENESIS if last is None else last.digest,
        digest="",
    )
    connection.execute(
        audit.insert().values(
            number=row.number,
            wall_ms=row.wall_ms,
            who=row.who,
            what=row.what,
            subject=row.subject,
            detail=row.detail,
            previous=row.previous,
            digest=digest_of(row),
        )
    )
    return row.number


def _digests(
    connection: sa.Connection, rows: Mapping[sa.Table, Iterable[Any]]
) -> dict[str, dict[str, str | None]]:
    digests: dict[str, dict[str, str | None]] = {}
    for table, wanted in rows.items():
        (key,) = table.primary_key.columns
        keys = list(wanted)
        if not keys:
            continue
        found = connection.execute(sa.select(table).where(key.in_(keys))).mappings()
        written = {str(row[key.name]): row_digest(table, dict(row)) for row in found}
        digests[table.name] = {str(each): written.get(str(each)) for each in keys}
    return digests
