"""What the gate remembers: incidents, strikes, blocks, policies, and the audit chain."""

from edge.ledger.audit import AuditBroken, AuditRow
from edge.ledger.durable import DurableLedger
from edge.ledger.feed import BlockFeed
from edge.ledger.ledger import Ledger, Violation, make_violation
from edge.ledger.view import AdmissionView

__all__ = [
    "AdmissionView",
    "AuditBroken",
    "AuditRow",
    "BlockFeed",
    "DurableLedger",
    "Ledger",
    "Violation",
    "make_violation",
]
