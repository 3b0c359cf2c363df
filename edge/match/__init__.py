"""Known footage: PDQ on luma, exact search over banks, temporal voting."""

from edge.match.bank import Bank, BankInfo, bank_files, bank_path
from edge.match.entry import Candidate, Entry, EntryKind, Footage, HashRun, Opinion, Severity, Variant
from edge.match.fingerprint import fingerprint, frames_of, luma_of
from edge.match.matcher import Matcher
from edge.match.pdq import Dihedral, PdqHash, PdqHasher
from edge.match.vote import MatchVote

__all__ = [
    "Bank",
    "BankInfo",
    "Candidate",
    "Dihedral",
    "Entry",
    "EntryKind",
    "Footage",
    "HashRun",
    "MatchVote",
    "Matcher",
    "Opinion",
    "PdqHash",
    "PdqHasher",
    "Severity",
    "Variant",
    "bank_files",
    "bank_path",
    "fingerprint",
    "frames_of",
    "luma_of",
]
