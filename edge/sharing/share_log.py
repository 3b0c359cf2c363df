"""What of a bank is shared, and the order of its changes: a file ``NAME.share`` in SQLite.

Each entry has one row with the number of its last change. A page is the rows after a number, in order. An
entry that changes moves to the end. So whoever follows the numbers to the end has the bank as it is, whatever
changed meanwhile, and however often the bank was compacted. A withdrawn entry keeps its row without its
content.

A checkpoint is ``LOG.NUMBER.FLOOR``. Another log, as after a restore, and withdrawals that are forgotten,
cannot tell what has changed since then: the peer starts again. ``FLOOR`` says what was forgotten when the
peer last began: it has never had that.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from edge.contract.gen import share_pb2
from edge.domain import INCIDENT_BANK
from edge.errors import BankError
from edge.match import Bank
from edge.match.bank.manifest import BankManifest, unexplained_loss
from edge.sharing.shared_entry import MAX_ENTRY_BYTES, shared_entry

SUFFIX: Final = ".share"
MOST_CHANGES: Final = 1_000
"""Most changes of a page."""
PAGE_BYTES: Final = 8 << 20
"""A page ends with the change that reaches this."""
MOST_WITHDRAWN: Final = 1_000_000
"""Most withdrawals that are remembered, the newest ones."""
_VERSION: Final = "1"
_SCHEMA: Final = """
CREATE TABLE entry (
    id TEXT PRIMARY KEY,       -- as peers know it
    seq INTEGER NOT NULL,      -- number of its last change
    segment TEXT NOT NULL,     -- file and digest of the segment that has it
    content BLOB,              -- what is shared; NULL: it is gone from the bank
    withheld INTEGER NOT NULL, -- it is in the bank, and people here have switched it off
    doubted INTEGER NOT NULL   -- it is quarantined here
) WITHOUT ROWID;
CREATE UNIQUE INDEX by_seq ON entry (seq);
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_CHECKPOINT: Final = re.compile(r"([0-9a-f]{16})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})")
_ADD: Final = """
INSERT INTO entry (seq, id, segment, content, withheld, doubted) VALUES (?, ?, ?, ?, 0, 0)
ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, segment = excluded.segment, content = excluded.content
"""
_WITHDRAW: Final = "UPDATE entry SET content = NULL, seq = ? WHERE content IS NOT NULL AND id = ?"
_SHARED: Final = "content IS NOT NULL AND NOT withheld"


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """Changes after a checkpoint. None in the place of an entry: it is withdrawn."""

    changes: tuple[tuple[str, share_pb2.Entry | None], ...]
    checkpoint: str
    more: bool
    start_again: bool = False


class ShareLog:
    """An open log. ``follow_bank`` is called by one process at a time; pages are read by any."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._sql = connection
        self._number = 0
        """Number of the newest change, while changes are taken."""

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, write: bool = False) -> Iterator[Self]:
        """Opens a log. With ``write`` it makes one where there is none. Raises BankError."""
        try:
            if write:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
            mode = "rw" if write else "ro"
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)
        except (sqlite3.Error, OSError) as error:
            raise BankError(f"{path}: {error}") from None
        connection.isolation_level = None
        log = cls(path, connection)
        try:
            if write:
                log._prepare()
            if log._state("version") != _VERSION:
                raise BankError(f"{path}: of another version, {log._state('version')!r}")
            yield log
        except sqlite3.Error as error:
            raise BankError(f"{path}: {error}") from None
        finally:
            connection.close()

    def follow_bank(self, bank: Bank, held_back: Iterable[str] = ()) -> int:
        """Takes what has changed in the bank. Returns the number of changes.

        ``held_back``: entries that are not shared, or not yet. All is taken, or nothing. Raises BankError,
        also where the bank has lost entries and nothing on record says why: an older copy in its place must
        not make peers withdraw.
        """
        before = self.manifest
        if before is not None and (lost := unexplained_loss(before, bank.manifest)):
            raise BankError(f"{bank.path}: {lost}, and no removal is on record: nothing of that is shared")
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            first = self._number = int(self._state("seq") or 0)
            self._follow_segments(bank)
            self._mark("withheld", {*bank.manifest.disabled, *held_back})
            self._mark("doubted", set(bank.manifest.quarantined))
            self._forget()
            self._put("manifest", bank.manifest.model_dump_json())
            self._put("seq", str(self._number))
            self._sql.execute("COMMIT")
        except BaseException:
            self._sql.execute("ROLLBACK")
            raise
        return self._number - first

    def page(self, checkpoint: str, limit: int = MOST_CHANGES) -> ChangesPage:
        """Returns the next changes after a checkpoint. A text that is none starts again."""
        self._sql.execute("BEGIN")
        try:
            return self._page(checkpoint, min(limit, MOST_CHANGES))
        finally:
            self._sql.execute("ROLLBACK")

    def _page(self, checkpoint: str, limit: int) -> ChangesPage:
        log, forgotten = self._state("log"), int(self._state("floor") or 0)
        after, floor = 0, forgotten
        if checkpoint:
            found = _CHECKPOINT.fullmatch(checkpoint)
            if found is not None:
                after, floor = int(found[2]), int(found[3])
            known = after <= int(self._state("seq") or 0) and max(after, floor) >= forgotten
            if found is None or found[1] != log or not known:
                return ChangesPage((), "", more=False, start_again=True)
        rows = self._sql.execute(
            f"SELECT id, seq, CASE WHEN {_SHARED} THEN content END, doubted FROM entry "
            "WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit + 1),
        )
        changes: list[tuple[str, share_pb2.Entry | None]] = []
        size = 0
        for entry_id, seq, content, doubted in rows:
            if len(changes) == limit or size >= PAGE_BYTES:
                return ChangesPage(tuple(changes), f"{log}.{after}.{floor}", more=True)
            size += len(content or b"") + 64
            changes.append((entry_id, None if content is None else _entry(content, bool(doubted))))
            after = seq
        return ChangesPage(tuple(changes), f"{log}.{after}.{floor}", more=False)

    @property
    def manifest(self) -> BankManifest | None:
        """The bank as it was when changes were taken last. None: never."""
        kept = self._state("manifest")
        return BankManifest.model_validate_json(kept) if kept else None

    @property
    def entries(self) -> int:
        """Number of entries that are shared now."""
        (count,) = self._sql.execute(f"SELECT count(*) FROM entry WHERE {_SHARED}").fetchone()
        return int(count)

    @property
    def left_out(self) -> int:
        """Number of entries that are too large to be shared."""
        return int(self._state("left_out") or 0)

    def public_id(self, entry_id: str) -> str:
        """How peers know an entry of the bank."""
        key = bytes.fromhex(self._state("key"))
        return hashlib.blake2b(entry_id.encode(), digest_size=16, key=key).hexdigest()

    def _follow_segments(self, bank: Bank) -> None:
        named = json.dumps([bank.info.label, bank.info.severity.value])
        before = set(json.loads(self._state("segments") or "[]"))
        known = before if self._state("named") == named else set()
        current = [f"{name.file} {name.digest}" for name in bank.manifest.segments]
        for segment, key, removed in zip(bank.segments, current, bank.removed, strict=True):
            if key in known:
                for gone in removed:
                    self._change(_WITHDRAW + " AND segment = ?", self.public_id(gone), key)
                continue
            for footage in segment.footage():
                if footage.entry.id not in removed:
                    content = shared_entry(
                        footage,
                        category=bank.info.label,
                        severity=bank.info.severity.value,
                        incident=bank.name == INCIDENT_BANK,
                    )
                    self._add(self.public_id(footage.entry.id), key, content)
        for gone in before.difference(current):
            left = "SELECT id FROM entry WHERE segment = ? AND content IS NOT NULL"
            for (entry_id,) in self._sql.execute(left, (gone,)).fetchall():
                self._change(_WITHDRAW, entry_id)
        self._put("named", named)
        self._put("segments", json.dumps(current))

    def _add(self, entry_id: str, segment: str, content: bytes) -> None:
        if len(content) > MAX_ENTRY_BYTES:
            self._put("left_out", str(self.left_out + 1))
            return
        row = self._sql.execute("SELECT content FROM entry WHERE id = ?", (entry_id,)).fetchone()
        if row is not None and row[0] == content:
            self._sql.execute("UPDATE entry SET segment = ? WHERE id = ?", (segment, entry_id))
            return
        self._change(_ADD, entry_id, segment, content)

    def _change(self, statement: str, *values: str | bytes) -> None:
        """Runs a statement that gives the number of a change to at most one entry."""
        if self._sql.execute(statement, (self._number + 1, *values)).rowcount:
            self._number += 1

    def _mark(self, mark: str, wanted: set[str]) -> None:
        """Makes exactly these entries marked. What is marked otherwise than before has changed."""
        ids = {self.public_id(entry_id) for entry_id in wanted}
        marked = {row[0] for row in self._sql.execute(f"SELECT id FROM entry WHERE {mark}")}
        for entry_id in sorted(ids ^ marked):
            self._change(f"UPDATE entry SET {mark} = NOT {mark}, seq = ? WHERE id = ?", entry_id)

    def _forget(self) -> None:
        """Forgets the oldest withdrawals."""
        oldest = self._sql.execute(
            "SELECT seq FROM entry WHERE content IS NULL ORDER BY seq DESC LIMIT 1 OFFSET ?",
            (MOST_WITHDRAWN,),
        ).fetchone()
        if oldest is not None:
            self._sql.execute("DELETE FROM entry WHERE content IS NULL AND seq <= ?", oldest)
            self._put("floor", str(oldest[0]))

    def _prepare(self) -> None:
        self._sql.execute("PRAGMA journal_mode=WAL")
        self._sql.execute("PRAGMA synchronous=FULL")
        self._sql.execute("BEGIN IMMEDIATE")
        if not self._sql.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone():
            for statement in _SCHEMA.split(";\n"):
                self._sql.execute(statement)
            first = {"version": _VERSION, "log": secrets.token_hex(8), "key": secrets.token_hex(32)}
            self._sql.executemany("INSERT INTO state VALUES (?, ?)", first.items())
        self._sql.execute("COMMIT")

    def _state(self, name: str) -> str:
        row = self._sql.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def _put(self, name: str, value: str) -> None:
        self._sql.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))


def log_path(folder: Path, bank: str) -> Path:
    return folder / f"{bank}{SUFFIX}"


def _entry(content: bytes, doubted: bool) -> share_pb2.Entry:
    entry = share_pb2.Entry.FromString(content)
    if doubted:
        entry.confidence = share_pb2.CONFIDENCE_DOUBTED
    return entry
