"""The names that ``edge`` and each room offer to other rooms are pinned.

A room without such names is imported by module, so that a process loads only what it uses.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import edge

ROOT = Path(__file__).resolve().parents[1]

PUBLIC: dict[str, set[str]] = {
    "edge": {
        "__version__",
    },
    "edge.api": set(),
    "edge.cli": {
        "main",
    },
    "edge.console": set(),
    "edge.containment": {
        "Containment",
        "Measure",
        "ContainmentMode",
        "ProcessRole",
        "contain",
        "contained_environment",
        "die_with",
        "lacking",
        "load_all_of",
        "mode_of_environment",
        "problems",
    },
    "edge.contract": set(),
    "edge.decide": {
        "Activities",
        "CategoryState",
        "Decider",
        "Decision",
        "Progress",
        "Suspicion",
        "activity_of",
        "match_action",
    },
    "edge.detect": {
        "DetectWindow",
        "Detector",
        "MotionSpec",
        "PackFiles",
        "PlaneScaler",
        "SampleScore",
        "Thresholds",
        "WindowHead",
        "default_model_directory",
        "model_directory",
        "read_pack",
    },
    "edge.crisis": {
        "CRISIS_NAME",
        "DRILL_APP",
        "MEASURES",
        "Crisis",
        "CrisisState",
        "checked_patch",
        "declared",
        "overlaid",
    },
    "edge.evidence": {
        "EvidenceClip",
        "EvidenceFileKind",
        "EvidenceStore",
        "FolderStore",
        "INCOMING",
        "MAX_FILE_BYTES",
        "Poster",
        "Sampling",
        "file_name",
        "forget_unfinished",
        "incident_of",
        "incident_record",
        "poster_moments",
        "posters_contained",
        "posters_of_bytes",
        "sampling_of",
        "scores_of_record",
        "take_in",
        "write_clip",
        "write_incident_record",
    },
    "edge.exchange": set(),
    "edge.fleet": set(),
    "edge.ingest": {
        "Admitted",
        "Closed",
        "CutConfirmed",
        "Event",
        "GateDown",
        "IngestSettings",
        "Judged",
        "Observer",
        "ReferenceIngest",
        "Refused",
        "RelayDown",
        "TierChanged",
    },
    "edge.ledger": {
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
        "IncidentChange",
        "IncidentChanges",
        "Head",
        "Ledger",
        "LedgerBase",
        "PROVEN_TABLES",
        "Proof",
        "Prover",
        "STREAM_KEY_ATTRIBUTE",
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
    },
    "edge.match": {
        "GAP_MS",
        "MAX_FRAME_SAMPLES",
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
        "INCIDENT_BANK",
        "LEAST_PAUSE_MS",
        "RecentFootage",
        "ITEM_SPAN_MS",
        "Import",
        "ImportStage",
        "Items",
        "MAX_K",
        "MIN_QUALITY",
        "MISSING",
        "MatchVote",
        "Matcher",
        "PdqHash",
        "PdqHasher",
        "RunawayGuard",
        "SPAN_MS",
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
    },
    "edge.notices": {
        "Notice",
        "block_notice",
        "own_messages",
        "use_messages",
    },
    "edge.policy": {
        "BeliefPolicy",
        "CategoryPolicy",
        "Condition",
        "DAY_MS",
        "CrisisPolicy",
        "DecodingPolicy",
        "EvidencePolicy",
        "ExchangeOpinion",
        "ExchangeRule",
        "DEFAULT_EXCHANGES",
        "rule_for",
        "FailureMode",
        "FailurePolicy",
        "FalseAlarms",
        "GuardPolicy",
        "SourceRule",
        "explain_guards",
        "LadderPolicy",
        "LookPolicy",
        "MAX_OVERRIDES",
        "MAX_POLICY_BYTES",
        "MAX_REOPEN_MS",
        "MatchPolicy",
        "Mode",
        "NameCase",
        "NamesPolicy",
        "Patch",
        "Policy",
        "PriorityWeights",
        "QueuePolicy",
        "ReviewPolicy",
        "SecondLevel",
        "SharingPolicy",
        "StrikeScope",
        "TENANT_ATTRIBUTE",
        "TierPolicy",
        "UnreviewedOutcome",
        "When",
        "WitnessRule",
        "attack_rules",
        "explain_category",
        "explain_mode",
        "explain_rule",
        "log_odds_of",
        "merge_patch",
        "parse_policy",
        "probability_of",
        "rates_of",
    },
    "edge.pullers": set(),
    "edge.replay": {
        "FoundFiles",
        "JudgeSetup",
        "LeftOut",
        "LookupSetup",
        "Replay",
        "ReplayPool",
        "ReplaySetup",
        "left_out_of",
        "spared",
    },
    "edge.report": set(),
    "edge.servers": set(),
    "edge.fleet_banks": set(),
    "edge.stream": {
        "AnyCodec",
        "BitrateJump",
        "Decoder",
        "DetectWindowPort",
        "DetectorPort",
        "Disposition",
        "FILE_FRAMES",
        "FileCodec",
        "FrameRoles",
        "JUMP_HOLD_MS",
        "JUMP_WISH_MS",
        "Judgement",
        "KnownAudio",
        "MonoAudio",
        "AudioClock",
        "AudioFrames",
        "MediaFile",
        "FrameSizeLimit",
        "PipelineCounters",
        "Ring",
        "Sampler",
        "Schedule",
        "StageTimes",
        "StreamAudio",
        "StreamPipeline",
        "Draws",
        "new_seed",
        "Explained",
        "explain_looks",
        "Risk",
        "RiskFactors",
        "TierState",
        "UnitPlan",
        "framing_of",
        "open_media_file",
        "resampler",
        "wanted_audio",
    },
    "edge.sharing": set(),
    "edge.supervise": {
        "Gate",
    },
    "edge.telemetry": set(),
    "edge.tuning": set(),
    "edge.webhook": set(),
    "edge.workers": set(),
}


def test_every_room_is_pinned() -> None:
    rooms = {f"edge.{module.name}" for module in pkgutil.iter_modules(edge.__path__) if module.ispkg}
    assert rooms | {"edge"} == PUBLIC.keys()


@pytest.mark.parametrize("room", PUBLIC)
def test_the_public_names_are_these(room: str) -> None:
    module = importlib.import_module(room)
    assert sorted(module.__all__) == sorted(PUBLIC[room])
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_a_public_name_is_imported_from_its_room() -> None:
    """Other rooms import only a room's public names."""
    behind = []
    for path in sorted((ROOT / "edge").rglob("*.py")):
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts[:2])
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            room = ".".join(node.module.split(".")[:2])
            if room == own or room == node.module:
                continue
            taken = {alias.name for alias in node.names} & PUBLIC.get(room, set())
            behind += [f"{path.relative_to(ROOT)}:{node.lineno}: {room}.{name}" for name in sorted(taken)]
    assert not behind


def test_a_class_name_means_one_thing() -> None:
    """Generated code is the exception: its messages have the names of the contract."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "edge").rglob("*.py")):
        if path.parent == ROOT / "edge" / "contract" / "gen":
            continue
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
            if isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
                found.setdefault(ast.unparse(node.target), []).append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
