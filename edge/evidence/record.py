"""Writes the incident as JSON next to its clip, with everything behind the verdict. No ledger is needed to
read it.

Schema ``edge.incident/1``, an object with
``schema, id, stream_id, created_wall_ms, state``,
``publish`` {server, connection, app, name, broadcaster, address, attributes},
``verdict`` {action, category, reason, rule, urgent, score, begin_pts_ms, pts_ms, cleared_pts_ms,
policy_version, model_digest, shadow, latency_ms, signals: [{source, category, kind, begin_pts_ms, pts_ms,
score, distance, entry, bank, severity, at_most, detail}],
``trace`` (null, or the times at which the deciding sample passed each stage: arrival_wall_ms, and in
milliseconds since then decoded_ms, converted_ms, taken_ms, detected_ms, hashed_ms, decided_ms)},
``enforcement`` {durable_wall_ms, cut_asked_wall_ms, cut_confirmed_wall_ms, confirmed_by},
``activity`` (null, or {verdicts, peak_score, start_pts_ms, end_pts_ms, seen_ms}: how long it went on),
``clip`` (file name, or null),
``clip_late_ms`` (null, or how long after the incident its clip came, where that was later than it should),
``scores`` ([[pts_ms, category, score], …]: how the scores went, oldest first), and
``sampling`` (null, or {seed: hexadecimal, start_pts_ms: media time of the clip's first frame}).
``*_wall_ms`` are milliseconds since the Unix epoch, ``pts_ms`` media time. Attributes whose names suggest a
secret have masked values. With ``sampling``, ``edge-gate replay`` draws the same frames of the clip as the
gate did. The seed is of no use to anybody once the stream is over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge.domain import Incident, ScorePoint, Signal
from edge.durable_files import write_file
from edge.errors import ConfigError
from edge.evidence.durable import evidence_file
from edge.settings_file import read_settings_file

SCHEMA: Final = "edge.incident/1"

MAX_RECORD_BYTES: Final = 1 << 20
_KEPT: Final = ("sampling", "scores", "clip_late_ms")
"""What a record has that the ledger has not."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """From what it was drawn which frames of a clip were looked at."""

    seed: bytes
    start_pts_ms: int
    """Media time of the clip's first frame. The clip's own time starts at 0."""


def incident_record(
    incident: Incident,
    sampling: Sampling | None = None,
    scores: Sequence[ScorePoint] = (),
    clip_late_ms: int | None = None,
) -> dict[str, Any]:
    """Returns the incident as plain JSON values."""
    publish, verdict = incident.publish, incident.verdict
    return {
        "schema": SCHEMA,
        "id": incident.id,
        "stream_id": incident.stream_id,
        "created_wall_ms": incident.created_ms,
        "state": incident.state.value,
        "publish": {
            "server": publish.server,
            "connection": publish.connection,
            "app": publish.app,
            "name": publish.name,
            "broadcaster": publish.broadcaster,
            "address": publish.address,
            "attributes": publish.shown_attributes,
        },
        "verdict": {
            "action": verdict.action.value,
            "category": verdict.category,
            "reason": verdict.reason,
            "rule": verdict.rule or None,
            "urgent": verdict.urgent,
            "score": verdict.score,
            "begin_pts_ms": verdict.begin_pts_ms,
            "pts_ms": verdict.pts_ms,
            "cleared_pts_ms": verdict.cleared_pts_ms,
            "policy_version": verdict.policy_version,
            "model_digest": verdict.model_digest,
            "shadow": verdict.shadow,
            "latency_ms": verdict.latency_ms,
            "signals": [_signal(signal) for signal in verdict.signals],
            "trace": None if verdict.trace is None else asdict(verdict.trace),
        },
        "enforcement": {
            "durable_wall_ms": incident.durable_ms,
            "cut_asked_wall_ms": incident.cut_asked_ms,
            "cut_confirmed_wall_ms": incident.cut_confirmed_ms,
            "confirmed_by": incident.confirmed_by,
        },
        "activity": None if incident.activity is None else asdict(incident.activity),
        "clip": Path(incident.evidence_path).name if incident.evidence_path else None,
        "clip_late_ms": clip_late_ms,
        "scores": [list(point) for point in scores],
        "sampling": None
        if sampling is None
        else {"seed": sampling.seed.hex(), "start_pts_ms": sampling.start_pts_ms},
    }


def sampling_of(clip: Path) -> Sampling | None:
    """Reads the sampling of a clip from the record beside it. None where there is no such record."""
    record = clip.with_suffix(".json")
    with suppress(ConfigError, ValueError, KeyError, TypeError, RecursionError):
        values = json.loads(read_settings_file(record, MAX_RECORD_BYTES))
        if values["schema"] == SCHEMA:
            sampling = values["sampling"]
            return Sampling(bytes.fromhex(sampling["seed"]), int(sampling["start_pts_ms"]))
    return None


def scores_of_record(content: bytes) -> tuple[ScorePoint, ...]:
    """Reads the scores of an incident record. None are in one of an earlier version, or a damaged one."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        return tuple(
            ScorePoint(int(pts_ms), str(category), float(score))
            for pts_ms, category, score in json.loads(content)["scores"]
        )
    return ()


def completed_record(newer: bytes, older: bytes) -> bytes:
    """Returns a record with what only an earlier one of the same incident has: the ledger has none of it.

    Each is returned as it is where it is no record. Pure.
    """
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        new, old = json.loads(newer), json.loads(older)
        if new["schema"] == old["schema"] == SCHEMA and new["id"] == old["id"]:
            missing = {field: old[field] for field in _KEPT if not new.get(field) and old.get(field)}
            return _content({**new, **missing}) if missing else newer
    return newer


def write_incident_record(
    incident: Incident,
    directory: Path,
    sampling: Sampling | None = None,
    scores: Sequence[ScorePoint] = (),
    clip_late_ms: int | None = None,
) -> Path:
    """Writes ``directory/INCIDENT.json`` atomically, synced, readable for the owner alone.

    It replaces an earlier record of the same incident, and keeps its ``sampling``, its ``scores`` and its
    ``clip_late_ms`` if none are given. Raises OSError, and InvalidInput for an id that is no file name.
    """
    path = evidence_file(directory, incident.id, ".json")
    content = _content(incident_record(incident, sampling, scores, clip_late_ms))
    with suppress(ConfigError):
        content = completed_record(content, read_settings_file(path, MAX_RECORD_BYTES))
    write_file(path, content)
    return path


def _content(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False, indent=2) + "\n").encode()


def _signal(signal: Signal) -> dict[str, Any]:
    return {
        "source": signal.source.value,
        "category": signal.category,
        "kind": signal.kind,
        "begin_pts_ms": signal.begin_pts_ms,
        "pts_ms": signal.pts_ms,
        "score": signal.score,
        "distance": signal.distance,
        "entry": signal.entry,
        "bank": signal.bank,
        "severity": signal.severity and signal.severity.value,
        "at_most": signal.at_most.value,
        "detail": signal.detail,
    }
