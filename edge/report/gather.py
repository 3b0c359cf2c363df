"""Computes the report of a period from the ledger. Streams every row once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from edge.ledger import records
from edge.ledger.incidents import STREAM_CUT
from edge.ledger.snapshot import count
from edge.ledger.tables import appeals, audit, blocks, incidents, policies, strikes
from edge.ledger.unknown_rows import readable, unknown_rows
from edge.ledger.usage import USAGE
from edge.report.report import Counting, Report

_UNKNOWN = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What an entry raises whose detail is not as the gate writes it."""


def gather(
    connection: sa.Connection,
    since_ms: int,
    until_ms: int,
    made_ms: int,
    advance: Callable[[int], object] = lambda rows: None,
) -> Report:
    """Covers everything that began in ``[since_ms, until_ms)``.

    ``connection`` is a snapshot. ``advance`` receives the number of rows read.
    """
    counting = Counting()
    entries = sa.select(audit.c.number, audit.c.what, audit.c.detail).where(
        audit.c.what.in_((USAGE, STREAM_CUT)), *_within(audit.c.wall_ms, since_ms, until_ms)
    )
    for number, what, detail in connection.execute(entries):
        try:
            (counting.usage if what == USAGE else counting.stream_cut)(json.loads(detail))
        except _UNKNOWN as error:
            unknown_rows(connection).note(audit.name, str(number), f"{error}; it is skipped")
        advance(1)
    for table, begun, read, take in (
        (incidents, incidents.c.created_ms, records.incident_from_row, counting.incident),
        (strikes, strikes.c.created_ms, records.strike_from_row, counting.strike),
        (blocks, blocks.c.created_ms, records.block_from_row, counting.block),
        (appeals, appeals.c.filed_ms, records.appeal_from_row, counting.appeal),
    ):
        found = connection.execute(sa.select(table).where(*_within(begun, since_ms, until_ms)))
        for row in readable(connection, found, _checked(read)):
            take(dict(row._mapping))
            advance(1)
    for _ in connection.execute(
        sa.select(policies.c.version).where(*_within(policies.c.created_ms, since_ms, until_ms))
    ):
        counting.policy()
    return counting.done(since_ms, until_ms, made_ms)


def _checked(read: Callable[[sa.Row[Any]], object]) -> Callable[[sa.Row[Any]], sa.Row[Any]]:
    """Returns rows that can be read as they are. Raises UnknownRow."""

    def checked(row: sa.Row[Any]) -> sa.Row[Any]:
        read(row)
        return row

    return checked


def rows_at_most(connection: sa.Connection) -> int:
    """The most rows that ``gather`` may read, for a progress bar."""
    return sum(count(connection, table) for table in (incidents, strikes, blocks, appeals))


def _within(column: sa.Column[int], since_ms: int, until_ms: int) -> tuple[sa.ColumnElement[bool], ...]:
    return column >= since_ms, column < until_ms
