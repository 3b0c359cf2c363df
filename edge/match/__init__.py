"""Known footage: PDQ on luma, exact search over banks, temporal voting."""

from edge.match.bank import Bank
from edge.match.chromaprint import MISSING, available
from edge.match.entry import (
    Candidate,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Opinion,
    Severity,
    SoundPrint,
    Variant,
)
from edge.match.export import write
from edge.match.fingerprint import fingerprint, frames_of, luma_of
from edge.match.formats import Format, Import, sniff
from edge.match.hearing import Heard, Hearing, heard_in
from edge.match.incidents import INCIDENT_BANK, bank_incident, withdraw_incident
from edge.match.intake import Existing, Updated, Withdrawal
from edge.match.listening import ITEM_SPAN_MS, Listening
from edge.match.lookup import Found, Lookup, look_up
from edge.match.manifest import BankInfo, bank_files, bank_info, bank_path
from edge.match.matcher import Matcher
from edge.match.pdq import Dihedral, PdqHash, PdqHasher
from edge.match.reload import BackgroundReload
from edge.match.runaway import RunawayGuard
from edge.match.stage import ImportStage, feed_checkpoints
from edge.match.variants import VariantSet
from edge.match.vote import MatchVote
from edge.match.watching import FramesLookup, StreamLookup

__all__ = [
    "INCIDENT_BANK",
    "ITEM_SPAN_MS",
    "MISSING",
    "BackgroundReload",
    "Bank",
    "BankInfo",
    "Candidate",
    "Dihedral",
    "Entry",
    "EntryKind",
    "Existing",
    "Footage",
    "Format",
    "Found",
    "FramesLookup",
    "HashRun",
    "Heard",
    "Hearing",
    "Import",
    "ImportStage",
    "Listening",
    "Lookup",
    "MatchVote",
    "Matcher",
    "Opinion",
    "PdqHash",
    "PdqHasher",
    "RunawayGuard",
    "Severity",
    "SoundPrint",
    "StreamLookup",
    "Updated",
    "Variant",
    "VariantSet",
    "Withdrawal",
    "available",
    "bank_files",
    "bank_incident",
    "bank_info",
    "bank_path",
    "feed_checkpoints",
    "fingerprint",
    "frames_of",
    "heard_in",
    "look_up",
    "luma_of",
    "sniff",
    "withdraw_incident",
    "write",
]
