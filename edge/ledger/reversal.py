"""Takes decisions back: pardons strikes, lifts blocks, and shortens later blocks that counted them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from edge.domain import Block, Incident, Severity, Strike
from edge.errors import UnknownRow
from edge.ladder import block_until, by_vouched_footage, stands, term_of
from edge.ledger import records
from edge.ledger.incidents import read_incident
from edge.ledger.strike_rows import mark_occasions, strikes_of, update_strike
from edge.ledger.tables import blocks, strikes
from edge.ledger.unknown_rows import readable, unknown_rows
from edge.policy import Policy


@dataclass(frozen=True, slots=True)
class Undone:
    """Blocks and strikes as they are after the reversal."""

    lifted: tuple[Block, ...] = ()
    pardoned: tuple[Strike, ...] = ()
    shortened: tuple[Block, ...] = ()
    """Blocks of other strikes, which the pardoned ones had lengthened."""
    marked: tuple[Strike, ...] = ()
    """Other strikes of the same occasions, for which another strike counts now, or which count themselves."""

    @property
    def changed(self) -> tuple[Block, ...]:
        return (*self.lifted, *self.shortened)

    @property
    def rows(self) -> dict[sa.Table, list[str]]:
        """The changed rows by table, for the audit log."""
        return {
            blocks: [block.id for block in self.changed],
            strikes: [strike.id for strike in (*self.pardoned, *self.marked)],
        }

    @property
    def detail(self) -> dict[str, object]:
        return {
            "lifted": [block.id for block in self.lifted],
            "pardoned": [strike.id for strike in self.pardoned],
            "shortened": [block.id for block in self.shortened],
            "counting": [strike.id for strike in self.marked if strike.part_of is None],
        }


def undo(
    connection: sa.Connection,
    pardoned: Sequence[Strike],
    lifted: Sequence[Block],
    *,
    by: str,
    reason: str,
    wall_ms: int,
    number: int,
    policy: Policy,
) -> Undone:
    """Pardons strikes that stand, and lifts blocks that are not lifted.

    Neither is dated before what it takes back, whatever a clock that was set back says. ``number`` is the
    number of the audit entry that the caller writes. ``policy`` is the whole policy. Its ladder measures the
    other blocks of the same broadcasters again; none gets longer. If other violations of a pardoned strike's
    occasion stand, the first of them counts in its place.
    """
    gone = tuple(
        dataclasses.replace(
            strike, pardoned_ms=max(wall_ms, strike.created_ms), pardoned_by=by, pardon_reason=reason
        )
        for strike in pardoned
        if strike.pardoned_ms is None
    )
    free = tuple(
        dataclasses.replace(block, lifted_ms=max(wall_ms, block.created_ms), lifted_by=by, lift_reason=reason)
        for block in lifted
        if block.lifted_ms is None
    )
    for strike in gone:
        update_strike(connection, strike)
    for block in free:
        update_block(connection, block, number)
    shortened: list[Block] = []
    marked: list[Strike] = []
    for broadcaster, app in {strike.broadcaster: strike.app for strike in gone}.items():
        marked += mark_occasions(connection, broadcaster, policy.for_app(app).ladder, wall_ms)
        shortened += _measured_again(connection, broadcaster, policy, wall_ms)
    for block in shortened:
        update_block(connection, block, number)
    return Undone(free, gone, tuple(shortened), tuple(marked))


def update_block(connection: sa.Connection, block: Block, number: int) -> None:
    values = records.block_to_row(block)
    connection.execute(blocks.update().where(blocks.c.id == block.id).values(**values, revision=number))


def blocks_of(connection: sa.Connection, strike: Strike) -> list[Block]:
    """Every block that rests on a strike."""
    rests = blocks.c.strike_id == strike.id
    if strike.incident_id is not None:
        rests = sa.or_(rests, blocks.c.incident_id == strike.incident_id)
    query = sa.select(blocks).where(rests).order_by(blocks.c.id)
    return list(readable(connection, connection.execute(query), records.block_from_row))


def _measured_again(
    connection: sa.Connection, broadcaster: str, policy: Policy, wall_ms: int
) -> Iterable[Block]:
    """Yields a broadcaster's active blocks that become shorter under the remaining strikes."""
    left = [strike for strike in strikes_of(connection, broadcaster) if stands(strike, wall_ms)]
    for position, strike in enumerate(left):
        try:
            incident = None if strike.incident_id is None else read_incident(connection, strike.incident_id)
        except UnknownRow as error:
            # Nothing says which policy applies: its blocks keep their term.
            unknown_rows(connection).note(error.table, error.key, error.problem)
            continue
        applies = policy.for_app(strike.app) if incident is None else policy.for_publish(incident.publish)
        full_ms = block_until(left[:position], strike, applies.ladder)
        for block in blocks_of(connection, strike):
            if not block.active_at(wall_ms) or full_ms >= (block.full_until_ms or block.until_ms):
                continue
            term = term_of(
                full_ms,
                block.created_ms,
                applies.review,
                matched=incident is not None and by_vouched_footage(incident.verdict),
                confirmed=_confirmed(block, incident),
                severe=strike.severity is Severity.SEVERE,
            )
            yield dataclasses.replace(
                block,
                until_ms=term.until_ms,
                provisional=term.provisional,
                full_until_ms=None if block.full_until_ms is None else full_ms,
                review_by_ms=term.review_by_ms,
            )


def _confirmed(block: Block, incident: Incident | None) -> int:
    """How many people have confirmed the block's length."""
    if not block.provisional:
        return 2
    by_hand = block.strike_id is not None
    return 1 if by_hand or (incident is not None and incident.review.first_confirmed_by is not None) else 0
