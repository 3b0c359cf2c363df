"""Fields of log lines: what of a publish, a verdict and a block may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum

from edge.domain import Block, Incident, Publish, SubjectKind, Verdict, shown_account
from edge.telemetry.records import Record


def publish_fields(publish: Publish) -> dict[str, object]:
    """Returns where a stream came from and whose it is.

    A server without accounts uses the stream's name for the broadcaster, and the name may be the key. Of
    such a name only the beginning is shown.
    """
    broadcaster = publish.broadcaster
    if broadcaster == f"{publish.app}/{publish.name}":
        broadcaster = f"{publish.app}/{publish.name[:2]}…"
    return {"server": publish.server, "app": publish.app, "broadcaster": broadcaster}


def verdict_fields(verdict: Verdict) -> dict[str, object]:
    """Returns why it was reached."""
    return {"reason": verdict.reason, "category": verdict.category, "score": round(verdict.score, 3)}


def block_fields(block: Block) -> dict[str, object]:
    """Returns which block it is, and of whom unless that is a credential."""
    fields: dict[str, object] = {
        "block_id": block.id,
        "subject_kind": block.subject_kind.value,
        "app": block.app,
        "reason": block.reason,
        "until_ms": block.until_ms,
        "provisional": block.provisional,
        "incident_id": block.incident_id or "",
    }
    if block.subject_kind is SubjectKind.BROADCASTER:
        fields["broadcaster"] = shown_account(block.subject)
    if block.subject_kind is SubjectKind.ADDRESS:
        fields["address"] = block.subject
    return fields


def fields_of(record: Record) -> dict[str, object]:
    """Returns the fields of a record whose line tells just these."""
    said: dict[str, object] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        match value:
            case Publish():
                said |= publish_fields(value)
            case Incident():
                said |= incident_fields(value)
            case Enum():
                said[field.name] = value.value
            case Mapping():
                said[field.name] = dict(value)
            case _:
                said[field.name] = value
    return said


def incident_fields(incident: Incident) -> dict[str, object]:
    """Returns which incident it is, on which stream, and whose."""
    return {
        "stream_id": incident.stream_id,
        **publish_fields(incident.publish),
        "incident_id": incident.id,
    }
