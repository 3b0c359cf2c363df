"""The files that bank changes name: segments, and manifests of sealed banks. Stored in parts, by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from edge.ledger.base import LedgerBase
from edge.ledger.tables import bank_changes, bank_parts

PART_BYTES: Final = 1 << 20
UNNAMED_MS: Final = 86_400_000
"""How long a file stays that no change names: it may still be on its way."""


class BankFiles(LedgerBase):
    def put_bank_file(self, digest: str, file: BinaryIO, wall_ms: int) -> None:
        """Stores what is left to read of a file. Parts that are there already, and whole, are not sent again.

        Each part is a transaction of its own. So an interrupted one goes on where it was.
        """
        mine = bank_parts.c.digest == digest
        with self._database.storing("look for a bank's file") as connection:
            there = frozenset(connection.execute(sa.select(bank_parts.c.part).where(mine)).scalars())
            if there:  # it is about to be named, so nobody may remove it as unnamed
                connection.execute(bank_parts.update().where(mine).values(stored_ms=wall_ms))
        for part, content in enumerate(iter(lambda: file.read(PART_BYTES), b"")):
            with self._database.storing("store a bank's file") as connection:
                if part in there and _is_stored(connection, digest, part, content):
                    continue
                insert: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
                values = {"digest": digest, "part": part, "content": content, "stored_ms": wall_ms}
                connection.execute(
                    insert(bank_parts)
                    .values(**values)
                    .on_conflict_do_update(
                        index_elements=[bank_parts.c.digest, bank_parts.c.part], set_={"content": content}
                    )
                )

    def bank_file(self, digest: str) -> Iterator[bytes]:
        """Yields a stored file, part by part. It ends at the first part that is not there."""
        for part in range(2**31):
            query = sa.select(bank_parts.c.content).where(
                bank_parts.c.digest == digest, bank_parts.c.part == part
            )
            with self._database.read("read a bank's file") as connection:
                content = connection.execute(query).scalar()
            if content is None:
                return
            yield bytes(content)

    def drop_bank_files(self, wall_ms: int) -> int:
        """Removes files that no change names, a day after they were stored last. Returns how many went."""
        old = bank_parts.c.stored_ms < wall_ms - UNNAMED_MS
        with self._database.read("look for files of banks") as connection:
            stored = sa.select(bank_parts.c.digest).where(old, bank_parts.c.part == 0)
            unnamed = [
                digest for digest in connection.execute(stored).scalars() if not _named(connection, digest)
            ]
        for digest in unnamed:
            with self._database.storing("remove a bank's file") as connection:
                connection.execute(bank_parts.delete().where(bank_parts.c.digest == digest, old))
        return len(unnamed)


def _named(connection: sa.Connection, digest: str) -> bool:
    query = sa.select(bank_changes.c.sequence).where(bank_changes.c.detail.contains(digest)).limit(1)
    return connection.execute(query).first() is not None


def _is_stored(connection: sa.Connection, digest: str, part: int, content: bytes) -> bool:
    """Whether a part is as it must be. PostgreSQL compares by itself, so that nothing travels."""
    column: sa.ColumnElement[bytes] = bank_parts.c.content
    wanted = content
    if connection.dialect.name == "postgresql":
        column, wanted = sa.func.sha256(column, type_=sa.LargeBinary), hashlib.sha256(content).digest()
    query = sa.select(column).where(bank_parts.c.digest == digest, bank_parts.c.part == part)
    stored = connection.execute(query).scalar()
    return stored is not None and bytes(stored) == wanted
