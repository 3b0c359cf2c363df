"""Settles blocks and strikes that nobody reviewed in time: records that they lapsed or became full.

Broadcasters do not depend on it. A block that lapses already ends at that time, and the ladder reads a
strike's own deadline.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

import sqlalchemy as sa

from edge.domain import Block, Strike
from edge.ledger import records
from edge.ledger.audit import next_number
from edge.ledger.base import GATE, LedgerBase
from edge.ledger.change_listener import notify
from edge.ledger.reversal import undo, update_block
from edge.ledger.tables import blocks, strikes
from edge.ledger.unknown_rows import readable, unknown_rows
from edge.policy import Policy

NOBODY = "lapsed: nobody has reviewed it in time"
_BATCH = 200
_OVERDUE_MS = 600_000
"""Delay after the deadline. Nobody waits for the record, and a clock may run a little ahead."""


class Unreviewed(LedgerBase):
    def settle_unreviewed(self, policy: Policy, wall_ms: int) -> tuple[Block, ...]:
        """Lifts lapsed blocks, pardons their strikes, and makes standing blocks full. Idempotent.

        Settles only what was due ten minutes ago. Where gates share a database, that holds by its clock too.
        So a gate whose clock runs ahead cannot withdraw what the others keep. Takes at most 200 blocks at a
        time. Writes one audit entry for each incident or block by hand. ``policy`` is the whole policy.
        Returns every changed block.
        """
        agreed_ms = self._time_of_what_is_due(wall_ms)
        if agreed_ms is None:
            return ()
        changed: list[Block] = []
        with self._database.write_transaction("settle what nobody reviewed") as connection:
            due, gone = _due(connection, agreed_ms - _OVERDUE_MS)
            for key in sorted({*due, *gone}):
                number = next_number(connection)
                lapsed = [block for block in due.get(key, ()) if _lapses(block)]
                standing = [
                    dataclasses.replace(block, provisional=False, review_by_ms=None)
                    for block in due.get(key, ())
                    if not _lapses(block)
                ]
                for block in standing:
                    update_block(connection, block, number)
                undone = undo(
                    connection,
                    gone.get(key, []),
                    lapsed,
                    by=GATE,
                    reason=NOBODY,
                    wall_ms=agreed_ms,
                    number=number,
                    policy=policy,
                )
                rows = undone.rows
                rows[blocks] = [*rows[blocks], *(block.id for block in standing)]
                detail = {**undone.detail, "standing": [block.id for block in standing]}
                what = "stand" if standing and not lapsed else "lapse"
                self._audit(connection, agreed_ms, GATE, what, key, detail, rows)
                changed += (*undone.changed, *standing)
            if changed:
                notify(connection)
        return tuple(changed)

    def _time_of_what_is_due(self, wall_ms: int) -> int | None:
        """The earlier of our clock and a shared database's clock. None if nothing is due."""
        with self._database.read("look for what nobody reviewed") as connection:
            if self.shared:
                theirs: datetime = connection.execute(sa.select(sa.func.now())).scalar_one()
                wall_ms = min(wall_ms, int(theirs.timestamp() * 1000))
            queries = _queries(wall_ms - _OVERDUE_MS)
            return wall_ms if any(connection.execute(query.limit(1)).first() for query in queries) else None


def _lapses(block: Block) -> bool:
    """Whether the block ends with its review deadline, before its full term."""
    ends_ms = block.until_ms
    return ends_ms <= (block.review_by_ms or 0) and ends_ms < (block.full_until_ms or ends_ms)


def _queries(due_ms: int) -> tuple[sa.Select[tuple[object, ...]], sa.Select[tuple[object, ...]]]:
    return (
        sa.select(blocks)
        .where(blocks.c.review_by_ms <= due_ms, blocks.c.provisional, blocks.c.lifted_ms.is_(None))
        .order_by(blocks.c.review_by_ms),
        sa.select(strikes)
        .where(strikes.c.review_by_ms <= due_ms, strikes.c.pardoned_ms.is_(None))
        .order_by(strikes.c.review_by_ms),
    )


def _due(connection: sa.Connection, due_ms: int) -> tuple[dict[str, list[Block]], dict[str, list[Strike]]]:
    """Due blocks and strikes by incident id, or by the id of what a person made."""
    due: dict[str, list[Block]] = {}
    gone: dict[str, list[Strike]] = {}
    of_blocks, of_strikes = _queries(due_ms)
    # Rows that are skipped must not take the places of others.
    unknown = unknown_rows(connection).counts()
    found = connection.execute(of_blocks.limit(_BATCH + unknown.get(blocks.name, 0)))
    for block in readable(connection, found, records.block_from_row):
        due.setdefault(block.incident_id or block.strike_id or block.id, []).append(block)
    found = connection.execute(of_strikes.limit(_BATCH + unknown.get(strikes.name, 0)))
    for strike in readable(connection, found, records.strike_from_row):
        gone.setdefault(strike.incident_id or strike.id, []).append(strike)
    return due, gone
