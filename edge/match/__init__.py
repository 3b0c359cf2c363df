"""Known footage: PDQ on luma, exact search over banks, temporal voting."""

from edge.match.bank import Bank, BankInfo, Existing, Updated, Withdrawal, bank_files, bank_path
from edge.match.entry import Candidate, Entry, EntryKind, Footage, HashRun, Opinion, Severity, Variant
from edge.match.fingerprint import fingerprint, frames_of, luma_of
from edge.match.formats import Format, Import, sniff, write
from edge.match.matcher import Matcher
from edge.match.pdq import Dihedral, PdqHash, PdqHasher
from edge.match.variants import VariantSet
from edge.match.vote import MatchVote

__all__ = [
    "Bank",
    "BankInfo",
    "Candidate",
    "Dihedral",
    "Entry",
    "EntryKind",
    "Existing",
    "Footage",
    "Format",
    "HashRun",
    "Import",
    "MatchVote",
    "Matcher",
    "Opinion",
    "PdqHash",
    "PdqHasher",
    "Severity",
    "Updated",
    "Variant",
    "VariantSet",
    "Withdrawal",
    "bank_files",
    "bank_path",
    "fingerprint",
    "frames_of",
    "luma_of",
    "sniff",
    "write",
]
