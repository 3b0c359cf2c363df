"""Reads past decisions: audit entries with the rows that each of them wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from edge.ledger.audit import GATE_NAME, ROWS, AuditRow
from edge.ledger.base import LedgerBase
from edge.ledger.tables import audit, metadata

_LIMIT = 200


@dataclass(frozen=True, slots=True)
class AuditedDecision:
    """One audit entry. ``rows`` holds, by table and key, the present state of the rows it wrote, without
    deleted ones."""

    entry: AuditRow
    detail: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @property
    def gate(self) -> str:
        """The gate of the fleet that made it. Empty where there is only one gate."""
        return str(self.detail.get(GATE_NAME, ""))


class Decisions:
    """A read-only view; each method is one transaction. Raises LedgerUnavailable."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._database = ledger._database
        self.gate = ledger.gate

    def newest(self) -> int:
        """Number of the last entry; 0 before the first."""
        with self._database.read("read the audit log's end") as connection:
            return connection.execute(sa.select(sa.func.max(audit.c.number))).scalar() or 0

    def after(self, number: int, limit: int = _LIMIT) -> tuple[AuditedDecision, ...]:
        """The next entries after a number, in order."""
        return self._read(audit.c.number > number, limit)

    def of(self, numbers: Iterable[int]) -> tuple[AuditedDecision, ...]:
        """The entries with these numbers, in order."""
        return self._read(audit.c.number.in_(list(numbers)), None)

    def _read(self, which: sa.ColumnElement[bool], limit: int | None) -> tuple[AuditedDecision, ...]:
        query = sa.select(audit).where(which).order_by(audit.c.number).limit(limit)
        with self._database.read("read decisions") as connection:
            entries = [AuditRow(*row) for row in connection.execute(query)]
            details = [_detail(entry) for entry in entries]
            wanted: dict[str, set[str]] = {}
            for detail in details:
                for table, keys in _rows_of(detail).items():
                    wanted.setdefault(table, set()).update(keys)
            found = {
                table: _fetch(connection, metadata.tables[table], keys)
                for table, keys in wanted.items()
                if table in metadata.tables
            }
        return tuple(
            AuditedDecision(
                entry,
                detail,
                {
                    table: {key: found[table][key] for key in keys if key in found.get(table, {})}
                    for table, keys in _rows_of(detail).items()
                },
            )
            for entry, detail in zip(entries, details, strict=True)
        )


def _detail(entry: AuditRow) -> dict[str, Any]:
    try:
        detail = json.loads(entry.detail)
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}


def _rows_of(detail: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    rows = detail.get(ROWS)
    return rows if isinstance(rows, dict) else {}


def _fetch(connection: sa.Connection, table: sa.Table, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    (column,) = table.primary_key.columns
    values = [int(key) if isinstance(column.type, sa.Integer) else key for key in keys]
    rows = connection.execute(sa.select(table).where(column.in_(values))).mappings()
    return {str(row[column.name]): dict(row) for row in rows}
