"""Known footage: PDQ on luma, exact search over banks, temporal voting."""

from edge.match.audio.audio_fingerprint import Heard, Hearing, heard_in
from edge.match.audio.audio_matcher import ITEM_SPAN_MS, Listening
from edge.match.audio.chromaprint import MISSING, available
from edge.match.bank.bank import Bank
from edge.match.bank.bank_update import Existing, Updated, Withdrawal
from edge.match.bank.entry import (
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
from edge.match.bank.incident_bank import INCIDENT_BANK, bank_incident, withdraw_incident
from edge.match.bank.manifest import BankInfo, bank_files, bank_info, bank_path
from edge.match.bank.reload import BackgroundReload
from edge.match.bank.runaway import RunawayGuard
from edge.match.evasion.variants import VariantSet
from edge.match.file_matcher import Found, Lookup, look_up
from edge.match.fingerprint import fingerprint, frames_of, luma_of
from edge.match.formats.hash_list_export import write
from edge.match.formats.hash_lists import Format, Import, sniff
from edge.match.formats.import_checkpoint import ImportStage, feed_checkpoints
from edge.match.matcher import Matcher
from edge.match.pdq.hasher import Dihedral, PdqHash, PdqHasher
from edge.match.stream_matcher import FramesLookup, StreamLookup
from edge.match.vote import MatchVote

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
