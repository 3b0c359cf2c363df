"""The ledger: incidents, strikes, blocks, policies and the audit chain, in one database.

It is synchronous and thread-safe. Each method is one transaction, on disk when it returns.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from edge.ledger.appeals import Appeals
from edge.ledger.audit import AuditRow, verify_chain
from edge.ledger.bank_changes import BankChanges
from edge.ledger.bank_files import BankFiles
from edge.ledger.bank_records import BankRecords
from edge.ledger.base import PAGE
from edge.ledger.blocks import Blocks
from edge.ledger.claims import Claims
from edge.ledger.comments import Comments
from edge.ledger.crises import Crises
from edge.ledger.evidence import EvidenceRecords
from edge.ledger.exchange_claims import ExchangeClaims
from edge.ledger.gates import FleetGates
from edge.ledger.incident_changes import ChangedIncidents
from edge.ledger.incidents import Incidents
from edge.ledger.models import Models
from edge.ledger.policies import Policies
from edge.ledger.reviews import Reviews
from edge.ledger.strikes import Strikes
from edge.ledger.tables import audit
from edge.ledger.undoing import Undoing
from edge.ledger.unreviewed import Unreviewed
from edge.ledger.usage import Usage
from edge.ledger.violations import Violations
from edge.ledger.waiting import WaitingIncidents


class Ledger(
    Violations,
    Incidents,
    Strikes,
    Claims,
    Reviews,
    Undoing,
    Comments,
    Appeals,
    Unreviewed,
    Blocks,
    Policies,
    Crises,
    Models,
    Usage,
    BankRecords,
    BankChanges,
    BankFiles,
    EvidenceRecords,
    ExchangeClaims,
    FleetGates,
    ChangedIncidents,
    WaitingIncidents,
):
    """One database. ``Ledger.open`` migrates it first."""

    def patient(self, lock_ms: int) -> Ledger:
        """The same ledger for people: their writes wait up to ``lock_ms`` for another writer.

        It shares the connections, which close with the original ledger.
        """
        return Ledger(self._database.patient(lock_ms), self._gate)

    def audit_rows(self, *, after: int = 0) -> Iterator[AuditRow]:
        """Yields the audit log in order, page by page."""
        while True:
            query = sa.select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(PAGE)
            with self._database.read("read the audit log") as connection:
                page = [AuditRow(*row) for row in connection.execute(query)]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].number

    def audit_entries(self, *, limit: int = PAGE, before_number: int | None = None) -> tuple[AuditRow, ...]:
        """Entries of the audit log, newest first."""
        query = sa.select(audit).order_by(audit.c.number.desc()).limit(limit)
        if before_number is not None:
            query = query.where(audit.c.number < before_number)
        with self._database.read("read the audit log") as connection:
            return tuple(AuditRow(*row) for row in connection.execute(query))

    def record_access(self, who: str, what: str, subject: str, wall_ms: int) -> None:
        """Records that a person came to the console, or left it."""
        with self._database.write_transaction(what) as connection:
            self._audit(connection, wall_ms, who, what, subject, {}, {})

    def audit_verify(self) -> int:
        """Returns the number of rows. Raises AuditBroken, which names the first wrong row."""
        return verify_chain(self.audit_rows())
