"""One database under every part of the ledger; each method of a part is one transaction."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any, Self

import sqlalchemy as sa

from edge.ledger.audit import append
from edge.ledger.engine import Database, open_database

GATE = "gate"
"""Who the audit log names where no person acted."""
PAGE = 1000


class LedgerBase:
    def __init__(self, database: Database, gate: str = "") -> None:
        self._database = database
        self._gate = gate

    @classmethod
    def open(cls, url: str, *, gate: str = "", busy_timeout_ms: int = 500) -> Self:
        """Raises ConfigError for a wrong URL and LedgerUnavailable when the database is away.

        ``gate``: this gate's name in its fleet, the same after a restart; where several gates may
        share the database the machine's name stands in for an empty one.
        """
        database = open_database(url, busy_timeout_ms)
        return cls(database, gate or (socket.gethostname()[:128] if database.shared else ""))

    @property
    def shared(self) -> bool:
        """Whether other gates may write to it: then a ``FleetFeed`` is needed."""
        return self._database.shared

    @property
    def gate(self) -> str:
        """This gate's name in its fleet; empty where there is only one."""
        return self._gate

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
        """Every decision ends with its entry, after the ``rows`` that it has written."""
        return append(connection, wall_ms, who, what, subject, detail, rows, gate=self._gate)

    def ping(self) -> None:
        """Take and release the write lock. Raises LedgerUnavailable."""
        with self._database.write("ping") as connection:
            connection.execute(sa.select(1))
