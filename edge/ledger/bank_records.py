"""What the ledger knows of banks: which incidents they led to, and what people did with them."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from edge.domain import IncidentState
from edge.ledger.base import LedgerBase
from edge.ledger.tables import incidents

_PAGE = 500
_NAMES_A_BANK = '%"bank": "%'


@dataclass(frozen=True, slots=True)
class MatchedIncident:
    """An incident with known footage behind its verdict."""

    id: str
    created_ms: int
    state: str
    verdict: str
    """JSON."""


class BankRecords(LedgerBase):
    def matched_incidents(
        self, since_ms: int, *, before_id: str | None = None, limit: int = _PAGE
    ) -> tuple[MatchedIncident, ...]:
        """Incidents since then whose verdict names a bank, newest first."""
        columns = incidents.c.id, incidents.c.created_ms, incidents.c.state, incidents.c.verdict
        query = (
            sa.select(*columns)
            # An id begins with the time: what is older is not even looked at.
            .where(incidents.c.id >= f"in_{since_ms * 1_000_000:016x}", incidents.c.created_ms >= since_ms)
            .where(incidents.c.verdict.like(_NAMES_A_BANK))
            .order_by(incidents.c.id.desc())
            .limit(limit)
        )
        if before_id is not None:
            query = query.where(incidents.c.id < before_id)
        with self._database.read("read matched incidents") as connection:
            return tuple(MatchedIncident(*row) for row in connection.execute(query))

    def confirmed_by_one(self) -> frozenset[str]:
        """Incidents that are confirmed and banked, and that no second person has confirmed."""
        one = sa.or_(
            incidents.c.first_confirmed_by.is_(None),
            incidents.c.first_confirmed_by == incidents.c.reviewed_by,
        )
        query = sa.select(incidents.c.id).where(
            incidents.c.state == IncidentState.CONFIRMED.value, incidents.c.banking.is_not(None), one
        )
        with self._database.read("read who confirmed incidents") as connection:
            return frozenset(connection.execute(query).scalars())

    def note_bank_taken(self, peer: str, bank: str, entries: int, withdrawn: int, wall_ms: int) -> None:
        """Records what another company has taken of a bank that is shared with it."""
        detail = {"entries": entries, "withdrawn": withdrawn}
        with self._database.write_transaction("note what a peer took of a bank") as connection:
            self._audit(connection, wall_ms, f"peer {peer}", "bank_taken", bank, detail, {})

    def note_bank_change(self, what: str, bank: str, entry: str, reason: str, by: str, wall_ms: int) -> None:
        """Records what a person has done with a bank, or with an entry of it, before it is done."""
        subject = f"{bank}/{entry}" if entry else bank
        with self._database.write_transaction("note a change of a bank") as connection:
            self._audit(connection, wall_ms, by, what, subject, {"reason": reason}, {})
