"""Which gate of a fleet fetches an exchange now, and when one did last."""

from __future__ import annotations

import sqlalchemy as sa

from edge.ledger.base import LedgerBase
from edge.ledger.tables import exchange_claims


class ExchangeClaims(LedgerBase):
    def claim_exchange(self, name: str, wall_ms: int, hold_ms: int, every_ms: int = 0) -> bool:
        """Takes an exchange for this gate until ``hold_ms`` from now, or keeps it. Returns whether it has it.

        It has not while another gate holds it, or where another has fetched it within ``every_ms``.
        """
        table = exchange_claims
        with self._database.write_transaction("claim an exchange") as connection:
            row = connection.execute(sa.select(table).where(table.c.name == name)).first()
            if (
                row is not None
                and row.gate != self._gate
                and wall_ms < max(row.until_ms, row.done_ms + every_ms)
            ):
                return False
            values = {"gate": self._gate, "until_ms": wall_ms + hold_ms}
            if row is None:
                connection.execute(table.insert().values(name=name, done_ms=0, **values))
            else:
                connection.execute(table.update().where(table.c.name == name).values(**values))
        return True

    def release_exchange(self, name: str, wall_ms: int, *, done: bool) -> None:
        """Gives an exchange back. ``done``: this gate has fetched all that there was."""
        table = exchange_claims
        values = {"until_ms": 0} | ({"done_ms": wall_ms} if done else {})
        with self._database.write_transaction("release an exchange") as connection:
            connection.execute(
                table.update().where(table.c.name == name, table.c.gate == self._gate).values(**values)
            )
