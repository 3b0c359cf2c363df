"""The gate's durable memory: incidents, strikes, blocks, policies and the audit chain."""

from edge.ledger.admission_view import AdmissionView
from edge.ledger.audit import AuditRow
from edge.ledger.durable import DurableLedger
from edge.ledger.feed import FleetFeed
from edge.ledger.ledger import Ledger
from edge.ledger.reviews import Case
from edge.ledger.violations import Violation, make_violation

__all__ = [
    "AdmissionView",
    "AuditRow",
    "Case",
    "DurableLedger",
    "FleetFeed",
    "Ledger",
    "Violation",
    "make_violation",
]
