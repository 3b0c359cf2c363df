"""Proves that the ledger is as it was written: the audit chain, and every row against it. Pure.

A row is proven when it has the digest left by the last entry that wrote it. The chain cannot show that its
newest entries were removed together with their rows. To detect that, compare a head that was noted elsewhere
(``NUMBER:DIGEST``).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from edge.errors import AuditBroken, InvalidInput
from edge.ledger.audit import GENESIS, ROWS, AuditRow, chain_problems, row_digest
from edge.ledger.tables import audit, bank_parts, metadata

PROVEN_TABLES: Final = tuple(table for table in metadata.sorted_tables if table not in (audit, bank_parts))
MAX_FINDINGS = 1000
_HEAD: Final = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_UNPROVEN = b""
"""Marks a row that an entry of an earlier version names without a digest."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the audit log at some moment."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


EMPTY = Head(0, GENESIS)


def parse_head(text: str) -> Head:
    """Parses ``NUMBER:DIGEST``. Raises InvalidInput."""
    match = _HEAD.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            "head", f"{text[:100]!r} is not NUMBER:DIGEST, as `edge-gate audit verify` prints it"
        )
    return Head(int(match[1]), match[2])


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that differs from what was written."""

    row: str
    """The row's name, such as ``audit 17`` or ``blocks bl_…``."""
    problem: str


@dataclass(slots=True)
class Proof:
    """How much was checked, and what was wrong."""

    first: int = 1
    """Number of the first entry. Over 1 for an export of a part."""
    entries: int = 0
    head: Head = EMPTY
    anchor: str = GENESIS
    """The digest that the first entry follows."""
    rows: int = 0
    unproven: int = 0
    """Rows of the ledger written before entries carried digests."""
    findings: list[Finding] = field(default_factory=list)
    """At most the first 1000 findings."""
    found: int = 0

    @property
    def ok(self) -> bool:
        return not self.found

    def add_problem(self, row: str, problem: str) -> None:
        self.found += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(row, problem))


class Prover:
    """Checks entries and rows. Takes the entries in order, then the rows of each table."""

    def __init__(self, expected: Iterable[Head] = (), *, part: bool = False) -> None:
        """``part`` means that the entries are an export that may begin after the first."""
        self.proof = Proof()
        self._expected = {head.number: head.digest for head in expected if head.number}
        self._part = part
        self._left: dict[str, dict[str, tuple[int, bytes | None]]] = {}

    def entries(self, rows: Iterable[AuditRow]) -> Iterator[AuditRow]:
        """Checks the chain. Yields each sound entry."""
        proof = self.proof
        walk = iter(rows)
        begin = next(walk, None)
        if begin is not None:
            if self._part:
                proof.first, proof.anchor = begin.number, begin.previous
            walk = itertools.chain((begin,), walk)
        for found in chain_problems(walk, first=proof.first, anchor=proof.anchor):
            if isinstance(found, AuditBroken):
                proof.add_problem(f"audit {found.number}", str(found).partition(": ")[2])
                continue
            proof.entries += 1
            proof.head = Head(found.number, found.digest)
            expected = self._expected.pop(found.number, None)
            if expected is not None and expected != found.digest:
                proof.add_problem(
                    f"audit {found.number}", "is another than the expected head: the log was rewritten"
                )
            self._note(found)
            yield found
        for number in sorted(self._expected):
            problem = f"is missing: the log ends at {proof.head.number} and was cut short"
            proof.add_problem(f"audit {number}", problem)

    def _note(self, entry: AuditRow) -> None:
        try:
            detail = json.loads(entry.detail)
        except ValueError:
            return
        if not isinstance(detail, dict):
            return
        digests = detail.get(ROWS)
        if not isinstance(digests, dict):
            for table, key in _named(entry, detail):
                self._left.setdefault(table, {})[key] = (entry.number, _UNPROVEN)
            return
        for table, rows in digests.items():
            if isinstance(rows, dict):
                noted = self._left.setdefault(str(table), {})
                for key, digest in rows.items():
                    noted[str(key)] = (entry.number, None if digest is None else _bytes(digest))

    def row(self, table: sa.Table, values: Mapping[str, Any]) -> None:
        """Checks one row of the ledger. Call it after all entries. ``values`` maps column names to values."""
        proof = self.proof
        proof.rows += 1
        (column,) = table.primary_key.columns
        key = str(values[column.name])
        number, digest = self._left.get(table.name, {}).pop(key, (0, None))
        if number == 0:
            proof.add_problem(f"{table.name} {key}", "was put there by hand: no audit entry wrote it")
        elif digest is None:
            proof.add_problem(f"{table.name} {key}", f"is back: audit entry {number} had removed it")
        elif digest == _UNPROVEN:
            proof.unproven += 1
        elif digest != bytes.fromhex(row_digest(table, values)):
            proof.add_problem(
                f"{table.name} {key}", f"was changed by hand after audit entry {number} wrote it"
            )

    def finish(self, tables: Iterable[sa.Table] = PROVEN_TABLES) -> Proof:
        """Reports rows that an entry wrote and that are missing. Call it after all rows of ``tables``."""
        for table in tables:
            for key, (number, digest) in self._left.get(table.name, {}).items():
                if digest is not None:
                    self.proof.add_problem(
                        f"{table.name} {key}", f"is missing: audit entry {number} wrote it"
                    )
        return self.proof


def _named(entry: AuditRow, detail: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The rows that an entry without digests wrote."""
    match entry.what:
        case "incident" | "cut_asked" | "cut_confirmed" | "violation" | "review":
            yield "incidents", entry.subject
        case "block" | "lift":
            yield "blocks", entry.subject
        case "policy":
            yield "policies", entry.subject
    if isinstance(detail.get("strike"), str):
        yield "strikes", detail["strike"]
    if entry.what == "review" and detail.get("decision") == "overturned":
        yield "strikes", f"sk_{entry.subject.removeprefix('in_')}"
    for name in ("blocks", "lifted"):
        if isinstance(detail.get(name), list):
            for key in detail[name]:
                yield "blocks", str(key)


def _bytes(digest: object) -> bytes:
    try:
        return bytes.fromhex(str(digest)) or b"?"
    except ValueError:
        return b"?"
