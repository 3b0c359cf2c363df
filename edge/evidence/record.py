"""Writes the incident as JSON next to its clip, with everything behind the verdict. No ledger is needed to
read it.

Schema ``edge.incident/1``, an object with
``schema, id, stream_id, created_wall_ms, state``,
``publish`` {server, connection, app, name, broadcaster, address, attributes},
``verdict`` {action, category, reason, score, pts_ms, cleared_pts_ms, policy_version, model_digest, shadow,
latency_ms, signals: [{source, category, pts_ms, score, distance, entry, bank, severity, at_most, detail}],
``trace`` (null, or the times at which the deciding sample passed each stage: arrival_wall_ms, and in
milliseconds since then decoded_ms, converted_ms, taken_ms, detected_ms, hashed_ms, decided_ms)},
``enforcement`` {durable_wall_ms, cut_asked_wall_ms, cut_confirmed_wall_ms, confirmed_by}, and
``clip`` (file name, or null). ``*_wall_ms`` are milliseconds since the Unix epoch, ``pts_ms`` media time.
Attributes whose names suggest a secret have masked values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from edge.domain import Incident, Signal
from edge.evidence.durable import appearing

SCHEMA: Final = "edge.incident/1"
_SECRET: Final = re.compile(r"key|token|secret|pass|auth|sign|pwd|psk", re.IGNORECASE)


def incident_record(incident: Incident) -> dict[str, Any]:
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
            "attributes": _masked(publish.attributes),
        },
        "verdict": {
            "action": verdict.action.value,
            "category": verdict.category,
            "reason": verdict.reason,
            "score": verdict.score,
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
        "clip": Path(incident.evidence_path).name if incident.evidence_path else None,
    }


def write_incident_record(incident: Incident, directory: Path) -> Path:
    """Writes ``directory/INCIDENT.json`` atomically, synced, readable for the owner alone.

    It replaces an earlier record of the same incident. Raises OSError, and InvalidInput for an id that is
    no file name.
    """
    text = json.dumps(incident_record(incident), ensure_ascii=False, indent=2) + "\n"
    with appearing(directory, incident.id, ".json") as (partial, path):
        partial.write_text(text, encoding="utf-8")
    return path


def _masked(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: "***" if _SECRET.search(name) else value for name, value in attributes.items()}


def _signal(signal: Signal) -> dict[str, Any]:
    return {
        "source": signal.source.value,
        "category": signal.category,
        "pts_ms": signal.pts_ms,
        "score": signal.score,
        "distance": signal.distance,
        "entry": signal.entry,
        "bank": signal.bank,
        "severity": signal.severity and signal.severity.value,
        "at_most": signal.at_most.value,
        "detail": signal.detail,
    }
