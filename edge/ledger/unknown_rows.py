"""Rows that this gate cannot read: kept in the database, counted, said once each, and skipped.

A newer gate of the fleet may write words that this one does not know. People edit rows by hand. One such row
must neither stop a start nor hide the rows beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import sqlalchemy as sa
import structlog

from edge.domain import Appeal, AppealState, Block, Incident, IncidentState, Severity, Strike, SubjectKind
from edge.errors import UnknownRow
from edge.ledger.subjects import BARS_WHOEVER

_OPTION: Final = "edge_gate_unknown_rows"
_MOST: Final = 10_000
"""Most rows that are told apart in each table."""
_SAID: Final = 20
"""Most rows of each table that the log names."""

_WORDS: Final = (
    ("subject_kind", frozenset(kind.value for kind in SubjectKind), BARS_WHOEVER),
    ("severity", frozenset(severity.value for severity in Severity), "it counts as a normal strike"),
    (
        "state",
        frozenset(state.value for kind in (IncidentState, AppealState) for state in kind),
        "people decide it at a newer gate",
    ),
)
"""Columns whose words a newer gate may extend, and what becomes of a row with such a word."""
_TABLES: Final = {Block: "blocks", Strike: "strikes", Incident: "incidents", Appeal: "appeals"}

Value = TypeVar("Value")

log = structlog.get_logger(__name__)


class UnknownRows:
    """The unknown rows that one process has met since it opened the ledger. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._met: dict[str, set[str]] = {}

    def note(self, table: str, key: str, problem: str) -> None:
        """Counts a row. Says it the first time. ``problem`` says what becomes of the row too."""
        with self._lock:
            met = self._met.setdefault(table, set())
            if key in met or len(met) >= _MOST:
                return
            met.add(key)
            number = len(met)
        if number <= _SAID:
            more = "; further ones of this table are only counted" if number == _SAID else ""
            log.error(
                f"the ledger holds a row that this gate does not know{more}",
                table=table,
                key=key,
                problem=problem,
            )

    def readable(self, rows: Iterable[Any], read: Callable[[Any], Value]) -> Iterator[Value]:
        """Yields what ``read`` makes of each row. Notes and skips those that it does not know."""
        for row in rows:
            try:
                known = read(row)
            except UnknownRow as error:
                self.note(error.table, error.key, f"{error.problem}; it is skipped")
                continue
            self._note_words(known, row)
            yield known

    def _note_words(self, known: Any, row: Any) -> None:
        table = _TABLES.get(type(known))
        for column, listed, effect in _WORDS:
            word = getattr(row, column, None)
            if table is not None and word is not None and word not in listed:
                self.note(table, known.id, f"{column} {str(word)[:64]!r} is not known here; {effect}")

    def counts(self) -> dict[str, int]:
        """Number of unknown rows by table."""
        with self._lock:
            return {table: len(met) for table, met in self._met.items()}


def noting(engine: sa.Engine, unknown: UnknownRows) -> sa.Engine:
    """The engine whose connections note unknown rows there."""
    return engine.execution_options(**{_OPTION: unknown})


def unknown_rows(source: sa.Connection | sa.Engine) -> UnknownRows:
    """Where a connection or an engine notes unknown rows."""
    found: UnknownRows | None = source.get_execution_options().get(_OPTION)
    return UnknownRows() if found is None else found


def readable(connection: sa.Connection, rows: Iterable[Any], read: Callable[[Any], Value]) -> Iterator[Value]:
    """``UnknownRows.readable`` for the rows of a connection."""
    return unknown_rows(connection).readable(rows, read)
