"""The gates of a fleet: under which address each one is reached by the others."""

from __future__ import annotations

import sqlalchemy as sa

from edge.ledger.base import GATE, LedgerBase
from edge.ledger.tables import gates

MOST_NAMED = 64
"""Most gates that ``other_gates`` names."""


class FleetGates(LedgerBase):
    def announce_gate(self, url: str, wall_ms: int) -> bool:
        """Records where other gates reach this one; empty: nowhere. Returns whether that is new."""
        if (self.gate_url(self._gate) or "") == url:
            return False
        with self._database.write_transaction("announce a gate") as connection:
            connection.execute(gates.delete().where(gates.c.name == self._gate))
            connection.execute(gates.insert().values(name=self._gate, url=url, announced_ms=wall_ms))
            self._audit(
                connection, wall_ms, GATE, "gate_address", self._gate, {"url": url}, {gates: [self._gate]}
            )
        return True

    def other_gates(self) -> tuple[str, ...]:
        """Names of the other gates of the fleet that ever said where they are reached, in order."""
        query = sa.select(gates.c.name).where(gates.c.name != self._gate).order_by(gates.c.name)
        with self._database.read("read the gates of the fleet") as connection:
            return tuple(connection.execute(query.limit(MOST_NAMED)).scalars())

    def gate_url(self, name: str) -> str | None:
        """Where a gate is reached: ``grpc://HOST:PORT``, or ``grpcs://`` with TLS. None: it says nothing."""
        query = sa.select(gates.c.url).where(gates.c.name == name)
        with self._database.read("read the address of a gate") as connection:
            return connection.execute(query).scalar() or None
