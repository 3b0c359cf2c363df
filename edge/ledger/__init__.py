"""The gate's durable memory: incidents, strikes, blocks, policies and the audit chain."""

from edge.ledger.admission_view import AdmissionView
from edge.ledger.audit import AuditRow
from edge.ledger.audit_export import ExportFormat, read_rows, write_rows
from edge.ledger.base import LedgerBase
from edge.ledger.decisions import AuditedDecision, Decisions
from edge.ledger.durable import DurableLedger
from edge.ledger.evidence import ErasedFile, EvidenceErasure, EvidenceRead
from edge.ledger.feed import FleetFeed
from edge.ledger.incident_changes import IncidentChange, IncidentChanges
from edge.ledger.ledger import Ledger
from edge.ledger.policies import StoredPolicy
from edge.ledger.proof import PROVEN_TABLES, Head, Proof, Prover, parse_head
from edge.ledger.reviews import Case
from edge.ledger.subjects import (
    STREAM_KEY_ATTRIBUTE,
    attribute_subject,
    parse_address,
    parse_network,
)
from edge.ledger.unwritten import UnwrittenDecision
from edge.ledger.violations import Violation, make_violation
from edge.ledger.waiting import WaitingIncident

__all__ = [
    "PROVEN_TABLES",
    "STREAM_KEY_ATTRIBUTE",
    "AdmissionView",
    "AuditRow",
    "AuditedDecision",
    "Case",
    "Decisions",
    "DurableLedger",
    "ErasedFile",
    "EvidenceErasure",
    "EvidenceRead",
    "ExportFormat",
    "FleetFeed",
    "Head",
    "IncidentChange",
    "IncidentChanges",
    "Ledger",
    "LedgerBase",
    "Proof",
    "Prover",
    "StoredPolicy",
    "UnwrittenDecision",
    "Violation",
    "WaitingIncident",
    "attribute_subject",
    "make_violation",
    "parse_address",
    "parse_head",
    "parse_network",
    "read_rows",
    "write_rows",
]
