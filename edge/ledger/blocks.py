"""Blocks: made and lifted by hand, read by people, by the admission view and by the fleet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from edge.domain import PERMANENT_MS, Block, SubjectKind, new_id
from edge.errors import InvalidInput, LimitExceeded, NotFound
from edge.ledger import records
from edge.ledger.audit import next_number
from edge.ledger.base import PAGE, LedgerBase
from edge.ledger.bell import Bell, ring
from edge.ledger.tables import audit, blocks
from edge.ledger.view import parse_network

_MAX_SUBJECT = 512


class Blocks(LedgerBase):
    def blocks(
        self,
        *,
        wall_ms: int,
        include_ended: bool = False,
        subject: str | None = None,
        limit: int = 100,
        before_id: str | None = None,
    ) -> tuple[Block, ...]:
        """Newest first."""
        query = sa.select(blocks).order_by(blocks.c.id.desc()).limit(limit)
        if not include_ended:
            query = query.where(blocks.c.lifted_ms.is_(None), blocks.c.until_ms > wall_ms)
        if subject is not None:
            query = query.where(blocks.c.subject == subject)
        if before_id is not None:
            query = query.where(blocks.c.id < before_id)
        with self._database.read("read blocks") as connection:
            return tuple(records.block_from_row(row) for row in connection.execute(query))

    def active_blocks(self, wall_ms: int) -> Iterator[Block]:
        """Every block that stands, page by page, for the admission view."""
        last = ""
        while True:
            query = (
                sa.select(blocks)
                .where(blocks.c.lifted_ms.is_(None), blocks.c.until_ms > wall_ms, blocks.c.id > last)
                .order_by(blocks.c.id)
                .limit(PAGE)
            )
            with self._database.read("read active blocks") as connection:
                page = [records.block_from_row(row) for row in connection.execute(query)]
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].id

    def add_block(
        self,
        kind: SubjectKind,
        subject: str,
        app: str,
        duration_ms: int | None,
        reason: str,
        by: str,
        wall_ms: int,
    ) -> Block:
        """A block by hand; ``duration_ms`` None is permanent."""
        if not subject or len(subject) > _MAX_SUBJECT:
            raise LimitExceeded("subject", _MAX_SUBJECT, len(subject), "characters")
        if kind is SubjectKind.ADDRESS and "/" in subject:
            subject = str(parse_network(subject))
        block = Block(
            id=new_id("bl"),
            subject_kind=kind,
            subject=subject,
            app=app,
            reason=reason,
            category="",
            created_ms=wall_ms,
            until_ms=PERMANENT_MS if duration_ms is None else min(wall_ms + duration_ms, PERMANENT_MS),
            incident_id=None,
            created_by=by,
        )
        with self._database.write("add a block") as connection:
            row = records.block_to_row(block)
            connection.execute(blocks.insert().values(**row, revision=next_number(connection)))
            self._audit(connection, wall_ms, by, "block", block.id, row, {blocks: [block.id]})
            ring(connection)
        return block

    def lift_block(self, block_id: str, reason: str, by: str, wall_ms: int) -> Block:
        """Live access again. Raises NotFound, and InvalidInput when it was lifted before."""
        with self._database.write("lift a block") as connection:
            row = connection.execute(sa.select(blocks).where(blocks.c.id == block_id)).first()
            if row is None:
                raise NotFound("block", block_id)
            if row.lifted_ms is not None:
                raise InvalidInput("block_id", f"{block_id} was lifted already by {row.lifted_by}")
            lift: dict[str, Any] = {"lifted_ms": wall_ms, "lifted_by": by, "lift_reason": reason}
            number = next_number(connection)
            connection.execute(blocks.update().where(blocks.c.id == block_id).values(**lift, revision=number))
            self._audit(connection, wall_ms, by, "lift", block_id, {"reason": reason}, {blocks: [block_id]})
            ring(connection)
            return dataclasses.replace(records.block_from_row(row), **lift)

    # the fleet

    def revision(self) -> int:
        """Number of the last change. Everything up to it is visible to whoever reads afterwards."""
        with self._database.read("read the revision") as connection:
            return connection.execute(sa.select(sa.func.max(audit.c.number))).scalar() or 0

    def blocks_after(self, revision: int, limit: int = PAGE) -> tuple[int, tuple[Block, ...]]:
        """The next changes of blocks after a revision, and the revision that they lead to.

        Blocks as they are now, lifted and ended ones included. Those of one change come together,
        over ``limit`` if need be; none: everything is known.
        """
        query = sa.select(blocks).where(blocks.c.revision > revision).order_by(blocks.c.revision, blocks.c.id)
        with self._database.read("read changes of blocks") as connection:
            rows = connection.execute(query.limit(limit)).all()
            if len(rows) == limit:
                last = rows[-1].revision
                rows = [row for row in rows if row.revision != last]
                whole = sa.select(blocks).where(blocks.c.revision == last).order_by(blocks.c.id)
                rows += connection.execute(whole).all()
        return (
            rows[-1].revision if rows else revision,
            tuple(records.block_from_row(row) for row in rows),
        )

    def bell(self) -> Bell:
        """Rings when a gate has changed a block."""
        return Bell(self._database.engine, self._database.patience_ms)
