"""The fleet's log of bank changes: each bank has one line of numbered changes, which no gate rewrites.

A gate appends to a bank's line only when it has taken in all that is there. So the line has no branches, and
every gate that has taken in the same numbers has the same bank. ``sequence`` counts the changes of all banks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from edge.errors import StaleVersion
from edge.ledger.base import LedgerBase
from edge.ledger.change_listener import BANKS_CHANNEL, ChangeListener, notify
from edge.ledger.tables import bank_changes

BANK_PAGE = 200
"""Most changes that are read at once."""
SEALED = "sealed"
"""Kind of the change that says what all before it came to. Changes before an earlier one may be gone."""
WITHDRAWN = "withdrawn"
"""Kind of the change that takes entries out. It outlives the others, because a withdrawal wins over an
addition of a gate that had not heard of it."""
KEPT_MS = 90 * 86_400_000
"""How long withdrawals are kept that a sealed change covers."""


@dataclass(frozen=True, slots=True)
class BankPosition:
    """A place in a bank's line. The defaults are the place before the first change."""

    number: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class NewBankChange:
    kind: str
    who: str
    detail: str
    """JSON."""
    audited: str = ""
    """JSON for the audit log, where it is other than ``detail``."""


@dataclass(frozen=True, slots=True)
class BankChangeRow:
    """One change as the ledger stores it."""

    sequence: int
    bank: str
    number: int
    kind: str
    who: str
    gate: str
    wall_ms: int
    detail: str
    digest: str

    @property
    def position(self) -> BankPosition:
        return BankPosition(self.number, self.digest)

    @property
    def intact(self) -> bool:
        """Whether it is as it was written."""
        return self.digest == _digest(
            self.bank, self.number, self.kind, self.who, self.gate, self.wall_ms, self.detail
        )


class BankChanges(LedgerBase):
    def bank_heads(self) -> dict[str, BankPosition]:
        """The end of each bank's line, by bank."""
        heads = sa.select(sa.func.max(bank_changes.c.sequence)).group_by(bank_changes.c.bank)
        query = sa.select(bank_changes.c.bank, bank_changes.c.number, bank_changes.c.digest)
        with self._database.read("read the ends of the bank changes") as connection:
            rows = connection.execute(query.where(bank_changes.c.sequence.in_(heads))).all()
        return {row.bank: BankPosition(row.number, row.digest) for row in rows}

    def bank_changes(
        self, bank: str, *, first: int, kind: str | None = None, limit: int = BANK_PAGE
    ) -> tuple[BankChangeRow, ...]:
        """Changes of a bank from a number on, in order. ``kind``: only those."""
        query = sa.select(bank_changes).where(bank_changes.c.bank == bank, bank_changes.c.number >= first)
        if kind is not None:
            query = query.where(bank_changes.c.kind == kind)
        with self._database.read("read bank changes") as connection:
            rows = connection.execute(query.order_by(bank_changes.c.number).limit(limit))
            return tuple(BankChangeRow(*row) for row in rows)

    def bank_sealed(self, bank: str) -> BankChangeRow | None:
        """The newest change of a bank that says what all before it came to."""
        query = sa.select(bank_changes).where(bank_changes.c.bank == bank, bank_changes.c.kind == SEALED)
        with self._database.read("read a sealed bank") as connection:
            row = connection.execute(query.order_by(bank_changes.c.number.desc()).limit(1)).first()
        return None if row is None else BankChangeRow(*row)

    def bank_kinds(self, bank: str) -> frozenset[str]:
        """The kinds of a bank's changes."""
        query = sa.select(bank_changes.c.kind).where(bank_changes.c.bank == bank).distinct()
        with self._database.read("read the kinds of bank changes") as connection:
            return frozenset(connection.execute(query).scalars())

    def put_bank_changes(
        self, bank: str, after: BankPosition, changes: Sequence[NewBankChange], wall_ms: int
    ) -> BankPosition:
        """Appends to a bank's line, all or none. Raises StaleVersion where ``after`` is not its end."""
        with self._database.write_transaction("store bank changes") as connection:
            _check_end(connection, bank, after)
            last = after
            for change in changes:
                last = self._append_bank_change(connection, bank, last.number + 1, change, wall_ms)
            notify(connection, BANKS_CHANNEL)
        return last

    def seal_bank(self, bank: str, after: BankPosition, sealed: NewBankChange, wall_ms: int) -> BankPosition:
        """Appends a sealed change. Removes what an earlier sealed change covers.

        Withdrawals stay for ninety days. Raises StaleVersion where ``after`` is not the line's end.
        """
        mine = bank_changes.c.bank == bank
        with self._database.write_transaction("seal a bank") as connection:
            _check_end(connection, bank, after)
            newest = sa.select(sa.func.max(bank_changes.c.number)).where(mine, bank_changes.c.kind == SEALED)
            before = connection.execute(newest).scalar() or 0
            stays = (bank_changes.c.kind == WITHDRAWN) & (bank_changes.c.wall_ms > wall_ms - KEPT_MS)
            covered = sa.select(bank_changes.c.sequence).where(mine, bank_changes.c.number < before, ~stays)
            gone = list(connection.execute(covered).scalars())
            connection.execute(bank_changes.delete().where(bank_changes.c.sequence.in_(gone)))
            last = self._append_bank_change(connection, bank, after.number + 1, sealed, wall_ms, gone)
            notify(connection, BANKS_CHANNEL)
        return last

    def _append_bank_change(
        self,
        connection: sa.Connection,
        bank: str,
        number: int,
        change: NewBankChange,
        wall_ms: int,
        gone: Sequence[int] = (),
    ) -> BankPosition:
        newest = connection.execute(sa.select(sa.func.max(bank_changes.c.sequence))).scalar() or 0
        content = bank, number, change.kind, change.who, self._gate, wall_ms, change.detail
        row = BankChangeRow(newest + 1, *content, _digest(*content))
        connection.execute(
            bank_changes.insert().values(
                sequence=row.sequence,
                bank=row.bank,
                number=row.number,
                kind=row.kind,
                who=row.who,
                gate=row.gate,
                wall_ms=row.wall_ms,
                detail=row.detail,
                digest=row.digest,
            )
        )
        said = json.loads(change.audited or change.detail)
        self._audit(
            connection,
            wall_ms,
            row.who,
            f"bank_{row.kind}",
            bank,
            {**said, "number": number},
            {bank_changes: [row.sequence, *gone]},
        )
        return row.position

    def bank_listener(self) -> ChangeListener:
        """Wakes up when a gate changes a bank."""
        return ChangeListener(self._database.engine, self._database.patience_ms, BANKS_CHANNEL)


def _check_end(connection: sa.Connection, bank: str, after: BankPosition) -> None:
    query = (
        sa.select(bank_changes.c.number, bank_changes.c.digest)
        .where(bank_changes.c.bank == bank)
        .order_by(bank_changes.c.number.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    if (BankPosition() if row is None else BankPosition(row.number, row.digest)) != after:
        raise StaleVersion(f"bank {bank}: another gate has changed it since change {after.number}")


def _digest(*content: str | int) -> str:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
