"""Formats events of the ingest: as records for machines, as lines for people."""

from __future__ import annotations

from typing import Any

from edge.contract.gen import gate_pb2
from edge.ingest.events import (
    Admitted,
    Closed,
    CutConfirmed,
    Event,
    GateDown,
    Judged,
    Refused,
    RelayDown,
    TierChanged,
)

_ACTIONS = {
    gate_pb2.ACTION_PASS: "pass",
    gate_pb2.ACTION_FLAG: "flag",
    gate_pb2.ACTION_CUT: "cut",
}


def as_record(event: Event) -> dict[str, Any]:
    """One flat JSON object for one event, with ``event`` first. It never contains a stream key."""
    name = type(event).__name__
    record: dict[str, Any] = {
        "event": "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_"),
        "wall_ms": event.wall_ms,
        "connection": event.connection,
    }
    match event:
        case Admitted(publish=publish, stream_id=stream_id):
            record |= {"stream_id": stream_id, "app": publish.app, "name": publish.name}
            record |= {"broadcaster": publish.broadcaster}
        case Refused(publish=publish, answer=answer):
            record |= {"app": publish.app, "name": publish.name, "broadcaster": publish.broadcaster}
            reason = answer.reason if answer else gate_pb2.REASON_CODE_UNSPECIFIED
            record["reason"] = gate_pb2.ReasonCode.Name(reason).removeprefix("REASON_CODE_").lower()
            if answer is not None:
                record |= {"blocked_until_wall_ms": answer.blocked_until_wall_ms}
                record |= {"provisional": answer.provisional}
                record |= {"message_en": answer.message.en, "message_ar": answer.message.ar}
        case Judged(verdict=verdict):
            record |= {
                "stream_id": event.stream_id,
                "action": _ACTIONS.get(verdict.action, "unspecified"),
                "pts_ms": verdict.pts_ms,
                "cleared_pts_ms": event.cleared_pts_ms,
                "category": verdict.category,
                "reason": verdict.reason,
                "score": round(verdict.score, 4),
                "latency_ms": round(verdict.latency_ms, 2),
                "incident_id": verdict.incident_id,
                "going_on_incident_id": verdict.going_on_incident_id,
                "shadow_action": _ACTIONS.get(verdict.shadow_action),
                "blocked_until_wall_ms": verdict.blocked_until_wall_ms,
                "provisional": verdict.blocked_provisionally,
            }
        case TierChanged(tier=tier):
            record |= {"stream_id": event.stream_id, "tier": tier.value}
        case GateDown(detail=detail):
            record |= {"stream_id": event.stream_id, "detail": detail}
        case RelayDown(detail=detail):
            record["detail"] = detail
        case CutConfirmed(time_to_cut_ms=time_to_cut_ms):
            record |= {"stream_id": event.stream_id, "time_to_cut_ms": round(time_to_cut_ms, 2)}
        case Closed(reason=reason_word, detail=detail):
            record |= {"stream_id": event.stream_id, "reason": reason_word, "detail": detail}
    return record


def as_text(event: Event) -> str | None:
    """One line for people. None for events that would only flood the screen (PASS)."""
    match event:
        case Admitted(publish=publish):
            return f"admitted  {publish.app}/{publish.name} by {publish.broadcaster}: {event.stream_id}"
        case Refused(publish=publish, answer=answer):
            why = answer.message.en if answer else "the gate cannot be asked"
            return f"refused   {publish.app}/{publish.name} by {publish.broadcaster}: {why}"
        case Judged(verdict=verdict):
            if verdict.action == gate_pb2.ACTION_PASS:
                return None
            word = _ACTIONS.get(verdict.action, "?").upper()
            why = f"{verdict.category} {verdict.score:.2f}, {verdict.reason}"
            return f"{word:<9} {event.stream_id}: {why}, at {verdict.pts_ms / 1000:.2f} s"
        case TierChanged(tier=tier):
            return f"tier      {event.stream_id}: {tier.value}"
        case GateDown(detail=detail):
            return f"gate down {event.stream_id or event.connection}: {detail}"
        case RelayDown(detail=detail):
            return f"relay     {event.connection}: {detail}"
        case CutConfirmed(time_to_cut_ms=time_to_cut_ms):
            return f"confirmed {event.stream_id}: {time_to_cut_ms:.0f} ms from verdict to closed connection"
        case Closed(reason=reason):
            return f"closed    {event.stream_id or event.connection}: {reason} {event.detail}".rstrip()
    return None
