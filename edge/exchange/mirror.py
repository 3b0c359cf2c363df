"""What was fetched of one exchange: a file ``.NAME.mirror`` beside its bank, in SQLite.

A page and the checkpoint after it are one transaction. So a run that is interrupted anywhere goes on after
the last whole page. Banks are made from the mirror alone: another table needs no second fetch.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from edge.durable_files import sync_folder
from edge.errors import BankError
from edge.exchange.page import SharedPage
from edge.match import Footage, HashRun, Withdrawal
from edge.match.bank.privacy import give_to_owner_of
from edge.match.bank.segment_builder import is_plain, plain_entry
from edge.match.formats.hash_list_export import footage_document
from edge.match.formats.hash_list_fields import parse_footage
from edge.policy import ExchangeOpinion

_SCHEMA: Final = """
CREATE TABLE record (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    footage BLOB,            -- 32 bytes of a plain hash, or JSON; NULL: it is gone
    opinion TEXT NOT NULL,
    tags TEXT NOT NULL,
    generation INTEGER NOT NULL,
    seq INTEGER NOT NULL     -- number of its last change
);
CREATE INDEX by_seq ON record (seq);
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_VERSION: Final = "1"
_MAX_LEFT_OUT: Final = 64
"""Most signal types that are told apart. The others are ``other``."""
_PUT: Final = """
INSERT INTO record (id, footage, opinion, tags, generation, seq) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    seq = CASE WHEN footage IS excluded.footage AND opinion = excluded.opinion AND tags = excluded.tags
          THEN seq ELSE excluded.seq END,
    footage = excluded.footage, opinion = excluded.opinion, tags = excluded.tags,
    generation = excluded.generation
"""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """One record, as it was fetched last."""

    id: str
    content: bytes | None
    opinion: ExchangeOpinion
    tags: tuple[str, ...]
    seq: int

    @property
    def footage(self) -> Footage | None:
        """None if it is gone."""
        if self.content is None:
            return None
        if len(self.content) == 32:
            return Footage(plain_entry(self.content), (HashRun(self.content),))
        return parse_footage(json.loads(self.content))


class Mirror:
    """An open mirror. One process at a time has it open to write."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._sql = connection
        self._state: dict[str, str] = dict(connection.execute("SELECT name, value FROM state"))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a mirror, or makes one. One that is damaged is made anew: it holds nothing of its own.

        Raises BankError.
        """
        try:
            try:
                return cls._opened(path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                    raise
                for part in parts_of(path):
                    part.unlink(missing_ok=True)
                return cls._opened(path)
        except (sqlite3.Error, OSError) as error:
            raise BankError(f"{path}: {error}") from None

    @classmethod
    def _opened(cls, path: Path) -> Self:
        if not path.exists():
            with path.open("ab") as file:
                path.chmod(0o600)
                give_to_owner_of(path.parent, file.fileno())
            sync_folder(path.parent)
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            connection.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384;"
            )
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone():
                first = {"version": _VERSION, "mirror": secrets.token_hex(8)}
                values = ", ".join(f"('{name}', '{value}')" for name, value in first.items())
                connection.executescript(f"BEGIN; {_SCHEMA} INSERT INTO state VALUES {values}; COMMIT;")
            mirror = cls(path, connection)
            if mirror._state.get("version") != _VERSION:
                raise sqlite3.DatabaseError("is of another version")
        except BaseException:
            connection.close()
            raise
        return mirror

    def close(self) -> None:
        self._sql.close()

    @property
    def identity(self) -> str:
        """Other for each mirror that is made."""
        return self._state["mirror"]

    @property
    def checkpoint(self) -> str:
        """Where to go on. Empty: from the beginning."""
        return self._state.get("checkpoint", "")

    @property
    def feed(self) -> str:
        """Digest of what is fetched. Empty for a new mirror."""
        return self._state.get("feed", "")

    @property
    def fetching_all(self) -> bool:
        """Whether everything is being fetched, so that what was there before may be gone."""
        return bool(self._state.get("filling"))

    @property
    def newest(self) -> int:
        """Number of the last change."""
        return int(self._state.get("seq", "0"))

    @property
    def left_out(self) -> dict[str, int]:
        """Records that cannot be used here, by signal type, since everything was fetched last."""
        found: dict[str, int] = json.loads(self._state.get("left_out", "{}"))
        return found

    def begin(self, feed: str) -> None:
        """Begins to fetch everything. What is there stays until that is done."""
        with self._sql_transaction() as state:
            state["generation"] = str(self._generation + 1)
            state["filling"] = "1"
            state["feed"] = feed
            state["checkpoint"] = ""
            state["left_out"] = "{}"

    def take(self, page: SharedPage) -> None:
        """Takes a page and the checkpoint after it."""
        seq, generation = self.newest, self._generation
        with self._sql_transaction() as state:
            rows = []
            for number, change in enumerate(page.changes, seq + 1):
                if not isinstance(change, Withdrawal):
                    tags = json.dumps(change.tags)
                    entry_id, content = change.footage.entry.id, _content(change.footage)
                    rows.append((entry_id, content, change.opinion.value, tags, generation, number))
                    continue
                self._sql.executemany(_PUT, rows)
                rows = []
                self._sql.execute(
                    "UPDATE record SET footage = NULL, seq = ? WHERE id = ? AND footage IS NOT NULL",
                    (number, change.entry_id),
                )
            self._sql.executemany(_PUT, rows)
            state["seq"] = str(seq + len(page.changes))
            state["checkpoint"] = page.checkpoint
            if page.left_out:
                state["left_out"] = json.dumps(_added(self.left_out, dict(page.left_out)))

    def finish(self) -> None:
        """Everything was fetched: what was not named is gone."""
        if not self.fetching_all:
            return
        with self._sql_transaction() as state:
            seq = self.newest
            self._sql.execute(
                "UPDATE record SET footage = NULL, seq = ? + n WHERE generation < ? AND footage IS NOT NULL",
                (seq, self._generation),
            )
            (most,) = self._sql.execute("SELECT coalesce(max(n), 0) FROM record").fetchone()
            state["seq"] = str(seq + most)
            state["filling"] = ""

    def changed(self, since: int, limit: int) -> list[Mirrored]:
        """The first records whose last change is after that number, in order of their changes."""
        rows = self._sql.execute(
            "SELECT id, footage, opinion, tags, seq FROM record WHERE seq > ? ORDER BY seq LIMIT ?",
            (since, limit),
        )
        return [_mirrored(row) for row in rows]

    def find(self, entry_id: str) -> Mirrored | None:
        """None: it is not there, or it is gone."""
        row = self._sql.execute(
            "SELECT id, footage, opinion, tags, seq FROM record WHERE id = ? AND footage IS NOT NULL",
            (entry_id,),
        ).fetchone()
        return None if row is None else _mirrored(row)

    def spoken(self) -> list[tuple[ExchangeOpinion, tuple[str, ...]]]:
        """Each opinion with each set of tags that a record has."""
        rows = self._sql.execute("SELECT DISTINCT opinion, tags FROM record WHERE footage IS NOT NULL")
        return [(ExchangeOpinion(opinion), tuple(json.loads(tags))) for opinion, tags in rows]

    def counts(self) -> dict[ExchangeOpinion, int]:
        """Number of records by opinion."""
        rows = self._sql.execute(
            "SELECT opinion, count(*) FROM record WHERE footage IS NOT NULL GROUP BY opinion"
        )
        return {ExchangeOpinion(opinion): count for opinion, count in rows}

    def forget_gone(self, up_to: int) -> None:
        """Drops the marks of records that are gone, once no bank has them any more."""
        with self._sql_transaction():
            self._sql.execute("DELETE FROM record WHERE footage IS NULL AND seq <= ?", (up_to,))

    def note(self, name: str, value: Any) -> None:
        """Keeps a value beside the records."""
        with self._sql_transaction() as state:
            state[f"note {name}"] = json.dumps(value)

    def noted(self, name: str) -> Any:
        """None: nothing was kept."""
        return json.loads(self._state.get(f"note {name}", "null"))

    @property
    def _generation(self) -> int:
        return int(self._state.get("generation", "0"))

    def _sql_transaction(self) -> _Transaction:
        return _Transaction(self._sql, self._state)


class _Transaction:
    """All of it, or nothing, also in memory. Yields the state to change. Raises BankError."""

    def __init__(self, sql: sqlite3.Connection, state: dict[str, str]) -> None:
        self._sql, self._state = sql, state
        self._new: dict[str, str] = {}

    def __enter__(self) -> dict[str, str]:
        self._sql.execute("BEGIN IMMEDIATE")
        return self._new

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is not None:
                self._sql.execute("ROLLBACK")
            else:
                self._sql.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", self._new.items())
                self._sql.execute("COMMIT")
                self._state.update(self._new)
        except sqlite3.Error as broken:
            raise BankError(f"the mirror cannot be written: {broken}") from None
        if isinstance(error, sqlite3.Error):
            raise BankError(f"the mirror cannot be written: {error}") from None


def mirror_path(folder: Path, name: str) -> Path:
    return folder / f".{name}.mirror"


def parts_of(path: Path) -> list[Path]:
    """The files of a mirror."""
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]


def read_notes(path: Path) -> dict[str, Any]:
    """What was noted of a mirror that another process may have open. Empty where there is none to read."""
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
            rows = connection.execute("SELECT name, value FROM state WHERE name LIKE 'note %'").fetchall()
    except sqlite3.Error:
        return {}
    return {name.removeprefix("note "): json.loads(value) for name, value in rows}


def _content(footage: Footage) -> bytes:
    if is_plain(footage):
        return footage.hashes[0].bits
    return json.dumps(footage_document(footage), ensure_ascii=False, separators=(",", ":")).encode()


def _mirrored(row: tuple[str, bytes | None, str, str, int]) -> Mirrored:
    entry_id, content, opinion, tags, seq = row
    return Mirrored(entry_id, content, ExchangeOpinion(opinion), tuple(json.loads(tags)), seq)


def _added(counts: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    for name, count in more.items():
        key = name if name in counts or len(counts) < _MAX_LEFT_OUT else "other"
        counts[key] = counts.get(key, 0) + count
    return counts
