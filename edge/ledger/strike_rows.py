"""Rows of strikes: reads a broadcaster's, and keeps on record which of them count."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa

from edge.domain import Strike
from edge.ladder import by_occasion, stands
from edge.ledger import records
from edge.ledger.tables import strikes
from edge.ledger.unknown_rows import readable
from edge.names import compared
from edge.policy import LadderPolicy


def spellings(broadcaster: str) -> list[str]:
    """How the strikes of a broadcaster may be written: as names are compared, or as the name came."""
    return list(dict.fromkeys((compared(broadcaster), broadcaster)))


def strike_names(broadcasters: Iterable[str]) -> list[str]:
    """How the strikes of these broadcasters may be written."""
    return sorted({name for broadcaster in broadcasters for name in spellings(broadcaster)})


def strikes_of(connection: sa.Connection, broadcaster: str) -> list[Strike]:
    """Every strike of a broadcaster, oldest first, those of earlier versions under the name as it was written
    among them."""
    query = (
        sa.select(strikes)
        .where(strikes.c.broadcaster.in_(spellings(broadcaster)))
        .order_by(strikes.c.created_ms, strikes.c.id)
    )
    return list(readable(connection, connection.execute(query), records.strike_from_row))


def update_strike(connection: sa.Connection, strike: Strike) -> None:
    values = records.strike_to_row(strike, None)
    # Neither ever changes. The severity may be a word that only a newer gate knows.
    del values["stream_id"], values["severity"]
    connection.execute(strikes.update().where(strikes.c.id == strike.id).values(**values))


def mark_occasions(
    connection: sa.Connection, broadcaster: str, ladder: LadderPolicy, wall_ms: int
) -> tuple[Strike, ...]:
    """Settles anew which of a broadcaster's strikes count. Writes and returns those that changed.

    A decision that comes later may be an earlier one: a journal brings it home. Strikes that do not stand
    keep what they say.
    """
    standing = (strike for strike in strikes_of(connection, broadcaster) if stands(strike, wall_ms))
    pairs = (
        (strike, None if counting is None else counting.id)
        for strike, counting in by_occasion(standing, ladder)
    )
    changed = tuple(
        dataclasses.replace(strike, part_of=part_of) for strike, part_of in pairs if part_of != strike.part_of
    )
    for strike in changed:
        update_strike(connection, strike)
    return changed
