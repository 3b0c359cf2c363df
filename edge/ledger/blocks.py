"""Blocks: people make, lift and read them; the admission view and the fleet load them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from edge.domain import PERMANENT_MS, AppealState, Block, SubjectKind, new_id
from edge.errors import Conflict, InvalidInput, NotFound, PermissionRefused
from edge.ladder import term_of
from edge.ledger import records
from edge.ledger.admission_view import AdmissionView
from edge.ledger.appeal_rows import decide_appeals
from edge.ledger.audit import GENESIS, next_number
from edge.ledger.base import PAGE, LedgerBase
from edge.ledger.block_index import BLOCK_COLUMNS, BlockRow
from edge.ledger.change_listener import ChangeListener, notify
from edge.ledger.crises import crises_revision
from edge.ledger.reversal import update_block
from edge.ledger.subjects import normal_subject
from edge.ledger.tables import appeals, audit, blocks, policies
from edge.ledger.unknown_rows import readable
from edge.policy import ReviewPolicy

_LOADED_PAGE = 5000


@dataclass(frozen=True, slots=True)
class Revision:
    """A position in the ledger's history. The defaults mean the position before the first change.

    The digest is that of the change's audit entry, so it depends on every earlier change. A database that
    lost its last commits gives their numbers again, but with other digests.
    """

    number: int = 0
    digest: str = GENESIS


@dataclass(frozen=True, slots=True)
class Changes:
    """The blocks that changed between two revisions."""

    revision: Revision
    blocks: tuple[Block, ...]
    """Their present state, lifted and ended ones included, without those that this gate does not know."""
    more: bool
    """Whether more may be left to read."""
    policy_version: int
    """Version of the policy in force; 0 before the first."""
    crises_revision: int = 0
    """Number of the newest change of a crisis; 0 before the first."""


class Blocks(LedgerBase):
    def blocks(
        self,
        *,
        wall_ms: int,
        include_ended: bool = False,
        subject: str | None = None,
        incident_id: str | None = None,
        limit: int = 100,
        before_id: str | None = None,
    ) -> tuple[Block, ...]:
        """Blocks that match the filters, newest first."""
        query = sa.select(blocks).order_by(blocks.c.id.desc()).limit(limit)
        if not include_ended:
            query = query.where(blocks.c.lifted_ms.is_(None), blocks.c.until_ms > wall_ms)
        if subject is not None:
            query = query.where(blocks.c.subject == subject)
        if incident_id is not None:
            query = query.where(blocks.c.incident_id == incident_id)
        if before_id is not None:
            query = query.where(blocks.c.id < before_id)
        with self._database.read("read blocks") as connection:
            return tuple(readable(connection, connection.execute(query), records.block_from_row))

    def block(self, block_id: str) -> Block:
        """Reads one block. Raises NotFound."""
        with self._database.read("read a block") as connection:
            return read_block(connection, block_id)

    def active_blocks(self, wall_ms: int) -> Iterator[Block]:
        """Yields every active block, page by page."""
        rows = self._active(wall_ms, tuple(blocks.c), PAGE)
        return self._database.unknown_rows.readable(rows, records.block_from_row)

    def load_blocks(self, view: AdmissionView, wall_ms: int, without: Collection[str] = ()) -> None:
        """Replaces everything in a view by the active blocks, except those with the ids of ``without``."""
        rows = self.active_block_rows(wall_ms)
        view.load_rows((row for row in rows if row[0] not in without), wall_ms, self._unknown_block)

    def _unknown_block(self, row: BlockRow, problem: str) -> None:
        self._database.unknown_rows.note(blocks.name, str(row[0]), problem)

    def active_block_rows(self, wall_ms: int) -> Iterator[BlockRow]:
        """Yields every active block as a plain row, for the admission view."""
        return self._active(wall_ms, tuple(blocks.c[name] for name in BLOCK_COLUMNS), _LOADED_PAGE)

    def _active(self, wall_ms: int, columns: Sequence[sa.Column[Any]], page: int) -> Iterator[sa.Row[Any]]:
        last = ""
        while True:
            query = (
                sa.select(*columns)
                .where(blocks.c.lifted_ms.is_(None), blocks.c.until_ms > wall_ms, blocks.c.id > last)
                .order_by(blocks.c.id)
                .limit(page)
            )
            with self._database.read("read active blocks") as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < page:
                return
            last = rows[-1].id

    def add_block(
        self,
        kind: SubjectKind,
        subject: str,
        app: str,
        duration_ms: int | None,
        reason: str,
        by: str,
        wall_ms: int,
        review: ReviewPolicy | None = None,
    ) -> Block:
        """Makes a block by hand. ``duration_ms`` None means permanent.

        If ``review`` wants two people for a permanent block, it is provisional until ``confirm_block``.
        Raises InvalidInput for a subject that does not fit its kind.
        """
        full_ms = PERMANENT_MS if duration_ms is None else min(wall_ms + duration_ms, PERMANENT_MS)
        term = term_of(full_ms, wall_ms, review or ReviewPolicy(), matched=True, confirmed=1)
        block = Block(
            id=new_id("bl"),
            subject_kind=kind,
            subject=normal_subject(kind, subject),
            app=app,
            reason=reason,
            category="",
            created_ms=wall_ms,
            until_ms=term.until_ms,
            incident_id=None,
            created_by=by,
            provisional=term.provisional,
            full_until_ms=term.full_until_ms if term.provisional else None,
            review_by_ms=term.review_by_ms,
        )
        with self._database.write_transaction("add a block") as connection:
            row = records.block_to_row(block)
            connection.execute(blocks.insert().values(**row, revision=next_number(connection)))
            detail = {**row, "subject": block.shown_subject}
            self._audit(connection, wall_ms, by, "block", block.id, detail, {blocks: [block.id]})
            notify(connection)
        return block

    def confirm_block(self, block_id: str, reason: str, by: str, wall_ms: int) -> tuple[Block, ...]:
        """Confirms a permanent block made by hand. A second person must do it.

        Confirms every block of the same strike, and returns the named one first. Raises NotFound, Conflict,
        and PermissionRefused for the person who made the block.
        """
        with self._database.write_transaction("confirm a block") as connection:
            block = read_block(connection, block_id)
            if block.incident_id is not None:
                raise Conflict(f"block_id: {block_id} rests on {block.incident_id}: review the incident")
            if not block.active_at(wall_ms) or not block.provisional_at(wall_ms):
                raise Conflict(f"block_id: {block_id} does not wait for a second person")
            if block.created_by == by:
                raise PermissionRefused(f"block_id: {by} made it; another person must confirm it")
            number = next_number(connection)
            confirmed = tuple(
                dataclasses.replace(
                    each, until_ms=each.full_until_ms or each.until_ms, provisional=False, review_by_ms=None
                )
                for each in (block, *_others_of_its_strike(connection, block))
                if each.active_at(wall_ms) and each.provisional_at(wall_ms)
            )
            for each in confirmed:
                update_block(connection, each, number)
            ids = [each.id for each in confirmed]
            detail = {"reason": reason, "until_ms": confirmed[0].until_ms, "blocks": ids}
            self._audit(connection, wall_ms, by, "confirm_block", block_id, detail, {blocks: ids})
            notify(connection)
        return confirmed

    def lift_block(self, block_id: str, reason: str, by: str, wall_ms: int) -> Block:
        """Lifts a block, so the subject may go live again. Raises NotFound, and InvalidInput if it was
        lifted before."""
        with self._database.write_transaction("lift a block") as connection:
            block = read_block(connection, block_id)
            if block.lifted_ms is not None:
                raise InvalidInput("block_id", f"{block_id} was lifted already by {block.lifted_by}")
            lifted_ms = max(wall_ms, block.created_ms)
            block = dataclasses.replace(block, lifted_ms=lifted_ms, lifted_by=by, lift_reason=reason)
            update_block(connection, block, next_number(connection))
            granted = decide_appeals(
                connection, AppealState.GRANTED, reason, by, wall_ms, block_ids=(block_id,)
            )
            detail = {"reason": reason, "appeals": granted}
            written: dict[sa.Table, list[str]] = {blocks: [block_id], appeals: granted}
            self._audit(connection, wall_ms, by, "lift", block_id, detail, written)
            notify(connection)
            return block

    # For the fleet

    def revision(self) -> Revision:
        """The last change. Every later read sees everything up to it."""
        with self._database.read("read the revision") as connection:
            return _newest(connection)

    def changes_after(self, revision: Revision, limit: int = PAGE) -> Changes | None:
        """The next blocks that changed after a revision. The blocks of one change stay together, even over
        ``limit``.

        Returns None if the ledger's history does not contain the revision: the database failed over or was
        restored without its last commits. Then the caller must read everything from the beginning.
        """
        with self._database.read("read what has changed") as connection:
            if _digest(connection, revision.number) != revision.digest:
                return None
            # The order matters: the revision covers policy and crises. A commit in between comes after the
            # revision.
            version = connection.execute(sa.select(sa.func.max(policies.c.version))).scalar() or 0
            crises = crises_revision(connection)
            reached = _newest(connection)
            query = (
                sa.select(blocks)
                .where(blocks.c.revision > revision.number, blocks.c.revision <= reached.number)
                .order_by(blocks.c.revision, blocks.c.id)
            )
            rows = connection.execute(query.limit(limit)).all()
            more = bool(rows)
            if len(rows) == limit:
                last = rows[-1].revision
                rows = [row for row in rows if row.revision != last]
                whole = sa.select(blocks).where(blocks.c.revision == last).order_by(blocks.c.id)
                rows += connection.execute(whole).all()
                reached = Revision(last, _digest(connection, last))
            known = tuple(readable(connection, rows, records.block_from_row))
        return Changes(reached, known, more, version, crises)

    def change_listener(self) -> ChangeListener:
        """Wakes up when a gate changes a block."""
        return ChangeListener(self._database.engine, self._database.patience_ms)


def _newest(connection: sa.Connection) -> Revision:
    newest = sa.select(audit.c.number, audit.c.digest).order_by(audit.c.number.desc()).limit(1)
    row = connection.execute(newest).first()
    return Revision() if row is None else Revision(row.number, row.digest)


def _digest(connection: sa.Connection, number: int) -> str:
    """Digest of a change; empty if the ledger has no such change."""
    if number == 0:
        return GENESIS
    return connection.execute(sa.select(audit.c.digest).where(audit.c.number == number)).scalar() or ""


def _others_of_its_strike(connection: sa.Connection, block: Block) -> list[Block]:
    if block.strike_id is None:
        return []
    others = sa.select(blocks).where(blocks.c.strike_id == block.strike_id, blocks.c.id != block.id)
    return list(
        readable(connection, connection.execute(others.order_by(blocks.c.id)), records.block_from_row)
    )


def read_block(connection: sa.Connection, block_id: str) -> Block:
    row = connection.execute(sa.select(blocks).where(blocks.c.id == block_id)).first()
    if row is None:
        raise NotFound("block", block_id)
    return records.block_from_row(row)
