"""The audit chain: each row carries the digest of the one before it, so that tampering shows.

digest(n) = sha256(digest(n-1) ‖ canonical JSON of row n)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from edge.errors import GateError
from edge.ledger.tables import audit

GENESIS = "0" * 64


class AuditBroken(GateError):
    """A row of the audit log is not what was written."""

    reason = "audit_broken"

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"audit row {number}: {problem}")
        self.number = number


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to whom, and when."""

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
    return hashlib.sha256(f"{row.previous}\n{body}".encode()).hexdigest()


def verify_chain(rows: Iterable[AuditRow]) -> int:
    """Number of rows; raises AuditBroken that names the first wrong one."""
    previous, expected = GENESIS, 1
    for row in rows:
        if row.number != expected:
            raise AuditBroken(expected, f"is missing, row {row.number} follows")
        if row.previous != previous:
            raise AuditBroken(row.number, "does not follow from the row before it")
        if row.digest != digest_of(row):
            raise AuditBroken(row.number, "was changed after it was written")
        previous, expected = row.digest, expected + 1
    return expected - 1


def append(
    connection: sa.Connection, wall_ms: int, who: str, what: str, subject: str, detail: Mapping[str, Any]
) -> int:
    """Add a row inside the caller's transaction. Returns its number."""
    last = connection.execute(
        sa.select(audit.c.number, audit.c.digest).order_by(audit.c.number.desc()).limit(1)
    ).first()
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
