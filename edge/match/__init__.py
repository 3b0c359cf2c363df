"""Matches live streams with known footage: PDQ on luma, exact search over banks, temporal voting."""

from edge.domain import INCIDENT_BANK, BankSeverity
from edge.match.audio.audio_fingerprint import (
    GAP_MS,
    MAX_FRAME_SAMPLES,
    AudioFingerprinter,
    AudioItems,
    audio_items_of,
    frames_of_audio,
)
from edge.match.audio.audio_matcher import ITEM_SPAN_MS, AudioLookup, AudioMatcher
from edge.match.audio.chromaprint import MISSING, Items, available
from edge.match.bank.bank import Bank
from edge.match.bank.bank_set import BankSet
from edge.match.bank.bank_update import Existing, Updated, Withdrawal
from edge.match.bank.manifest import BankInfo, bank_files, bank_info, bank_path
from edge.match.bank.privacy import exposed
from edge.match.bank.runaway import RunawayGuard
from edge.match.bank_reload import BackgroundReload
from edge.match.contained_fingerprint import fingerprint_contained
from edge.match.entry import (
    AudioPrint,
    BankPurpose,
    Candidate,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Variant,
)
from edge.match.evasion.variants import VariantSet
from edge.match.file_matcher import FileLookup, Found, look_up
from edge.match.fingerprint import MIN_QUALITY, Damage, content_id, fingerprint, frames_of, luma_of
from edge.match.formats.hash_list_export import write_hash_list
from edge.match.formats.hash_lists import HashListFormat, Import, sniff
from edge.match.formats.import_checkpoint import ImportStage, feed_checkpoints
from edge.match.incident_bank import bank_incident, withdraw_incident
from edge.match.matcher import Matcher
from edge.match.pdq.hasher import Dihedral, PdqHash, PdqHasher
from edge.match.recent_footage import LEAST_PAUSE_MS, RecentFootage
from edge.match.stream_matcher import FramesLookup, StreamMatcher
from edge.match.vote import MAX_K, SPAN_MS, MatchVote

__all__ = [
    "GAP_MS",
    "INCIDENT_BANK",
    "ITEM_SPAN_MS",
    "LEAST_PAUSE_MS",
    "MAX_FRAME_SAMPLES",
    "MAX_K",
    "MIN_QUALITY",
    "MISSING",
    "SPAN_MS",
    "AudioFingerprinter",
    "AudioItems",
    "AudioLookup",
    "AudioMatcher",
    "AudioPrint",
    "BackgroundReload",
    "Bank",
    "BankInfo",
    "BankPurpose",
    "BankSet",
    "BankSeverity",
    "Candidate",
    "Damage",
    "Dihedral",
    "Entry",
    "EntryKind",
    "Existing",
    "FileLookup",
    "Footage",
    "Found",
    "FramesLookup",
    "HashListFormat",
    "HashRun",
    "Import",
    "ImportStage",
    "Items",
    "MatchVote",
    "Matcher",
    "PdqHash",
    "PdqHasher",
    "RecentFootage",
    "RunawayGuard",
    "StreamMatcher",
    "Updated",
    "Variant",
    "VariantSet",
    "Withdrawal",
    "audio_items_of",
    "available",
    "bank_files",
    "bank_incident",
    "bank_info",
    "bank_path",
    "content_id",
    "exposed",
    "feed_checkpoints",
    "fingerprint",
    "fingerprint_contained",
    "frames_of",
    "frames_of_audio",
    "look_up",
    "luma_of",
    "sniff",
    "withdraw_incident",
    "write_hash_list",
]
