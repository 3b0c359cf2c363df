"""The base of every part of the ledger: one database, one transaction for each method."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from edge.ledger.audit import append
from edge.ledger.engine import Database, open_database
from edge.ledger.unknown_rows import UnknownRows

GATE = "gate"
"""The actor that the audit log names when the gate acts by itself."""
PAGE = 1000


class LedgerBase:
    def __init__(self, database: Database, gate: str = "") -> None:
        self._database = database
        self._gate = gate

    @classmethod
    def open(cls, url: str | Path, *, gate: str = "", busy_timeout_ms: int = 500) -> Self:
        """Opens the ledger and migrates it. Raises ConfigError for a wrong URL, LedgerUnavailable without a
        database.

        ``gate`` is this gate's name in its fleet and stays the same over restarts. Where several gates may
        share the database, an empty name becomes the host name.
        """
        database = open_database(url, busy_timeout_ms)
        return cls(database, gate or (socket.gethostname()[:128] if database.shared else ""))

    @property
    def shared(self) -> bool:
        """Whether other gates may write to the database. Then this gate needs a ``FleetFeed``."""
        return self._database.shared

    @property
    def gate(self) -> str:
        """This gate's name in its fleet. Empty where there is only one gate."""
        return self._gate

    @property
    def unknown_rows(self) -> UnknownRows:
        """Rows met that this gate cannot read."""
        return self._database.unknown_rows

    def close(self) -> None:
        self._database.close()

    def _audit(
        self,
        connection: sa.Connection,
        wall_ms: int,
        who: str,
        what: str,
        subject: str,
        detail: Mapping[str, Any],
        rows: Mapping[sa.Table, Iterable[Any]],
    ) -> int:
        """Appends the audit entry of a decision. Call it last, after the ``rows`` are written."""
        return append(connection, wall_ms, who, what, subject, detail, rows, gate=self._gate)

    def ping(self) -> None:
        """Takes and releases the write lock. Raises LedgerUnavailable."""
        with self._database.write_transaction("ping") as connection:
            connection.execute(sa.select(1))
