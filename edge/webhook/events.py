"""Turns decisions into the events that the platform gets. Pure.

| Event | When |
|---|---|
| `verdict.flag` | a person should look at a stream; also an action that shadow mode withheld |
| `incident.continued` | what was flagged goes on: count, peak and span so far, at most every 30 s |
| `stream.cut` | the gate asked for a cut: strike and block are on disk, or it has a reason but no verdict |
| `cut.confirmed`, `cut.unconfirmed` | the publisher is proven gone; nothing proved it within the limit |
| `block.made`, `block.changed`, `block.lifted` | live access is denied; its term changed; it is given back |
| `strike.made`, `strike.pardoned` | a violation counts; it counts no more, or has lapsed without a review |
| `incident.reviewed` | a person decided |
| `appeal.filed`, `appeal.decided` | a broadcaster objected to a block; a person decided |
| `notice` | the text for the broadcaster, in English and Arabic |
| `ping` | `edge-gate webhook test` |
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge.domain import UNPROVEN_ATTRIBUTE, Action, Block, SubjectKind, shown_subject
from edge.ledger import AuditedDecision, records
from edge.ledger.incidents import ACTIVITY, STREAM_CUT
from edge.notices import block_notice
from edge.notices.notice import notice

TYPES: Final = (
    "verdict.flag",
    "incident.continued",
    "stream.cut",
    "cut.confirmed",
    "cut.unconfirmed",
    "block.made",
    "block.changed",
    "block.lifted",
    "strike.made",
    "strike.pardoned",
    "incident.reviewed",
    "appeal.filed",
    "appeal.decided",
    "notice",
)
PING = "ping"
_MAKES_BLOCKS = frozenset({"violation", "block", "strike"})
_STREAM = ("server", "connection", "app", "name", "broadcaster")
_INCIDENT = (
    "id",
    "stream_id",
    "server",
    "connection",
    "app",
    "name",
    "broadcaster",
    "action",
    "category",
    "reason",
    "score",
    "shadow",
    "state",
    "created_ms",
    "durable_ms",
    "cut_asked_ms",
    "cut_confirmed_ms",
    "confirmed_by",
    "verdicts",
    "peak_score",
    "start_pts_ms",
    "end_pts_ms",
    "seen_ms",
)
_BLOCK = (
    "id",
    "subject_kind",
    "subject",
    "app",
    "reason",
    "category",
    "created_ms",
    "until_ms",
    "provisional",
    "review_by_ms",
    "incident_id",
    "created_by",
    "lifted_ms",
    "lifted_by",
    "lift_reason",
)
_STRIKE = (
    "id",
    "broadcaster",
    "app",
    "category",
    "severity",
    "incident_id",
    "created_ms",
    "created_by",
    "reason",
    "review_by_ms",
    "pardoned_ms",
    "pardoned_by",
    "pardon_reason",
    "part_of",
)
_APPEAL = (
    "id",
    "incident_id",
    "block_id",
    "broadcaster",
    "app",
    "state",
    "filed_ms",
    "filed_by",
    "decided_ms",
    "decided_by",
    "decision_reason",
)
_TABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "incidents": _INCIDENT,
    "blocks": _BLOCK,
    "strikes": _STRIKE,
    "appeals": _APPEAL,
}


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One request to the receiver."""

    id: str
    """The same at every attempt, over restarts too. Receivers drop ids that they already have."""
    type: str
    number: int
    """Number of the audit entry behind it."""
    body: bytes


def events_of(decision: AuditedDecision) -> tuple[WebhookEvent, ...]:
    """The events of one decision. Empty if the decision concerns only the gate."""
    return tuple(
        _event(decision, kind, subject, data) for kind, subject, data in _facts(decision) if kind in TYPES
    )


def ping(ident: str, wall_ms: int) -> WebhookEvent:
    """A test event without decision or data."""
    return WebhookEvent(ident, PING, 0, _body(PING, wall_ms, {"gate": "", "sequence": 0}))


def _facts(decision: AuditedDecision) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields type, subject and data of each event."""
    what, who = decision.entry.what, decision.entry.who
    if what == STREAM_CUT:
        yield from _cut_without_verdict(decision)
        return
    for key, row in decision.rows.get("incidents", {}).items():
        kind = _incident_kind(what, row)
        if kind:
            extra = {
                name: decision.detail[name] for name in ("decision", "reason") if kind == "incident.reviewed"
            }
            if kind == "cut.unconfirmed":
                extra = {"cut_unconfirmed_reason": row.get("cut_unconfirmed_reason")}
            proven = UNPROVEN_ATTRIBUTE not in json.loads(row["attributes"])
            stream = {
                "id": row["stream_id"],
                **{name: row[name] for name in _STREAM},
                "identity_proven": proven,
            }
            yield kind, key, {"stream": stream, "incident": _picked("incidents", row), "by": who, **extra}
    lifted = set(decision.detail.get("lifted", ()))
    for key, row in decision.rows.get("blocks", {}).items():
        if what == "lift" or key in lifted:
            kind = "block.lifted"
        else:
            kind = "block.made" if what in _MAKES_BLOCKS else "block.changed"
        yield kind, key, {"block": _picked("blocks", row), "by": who}
        if kind != "block.lifted" and row["subject_kind"] == SubjectKind.BROADCASTER:
            yield "notice", key, _notice(decision, records.block_from_row(_AuditRow(row)))
    for key, row in decision.rows.get("strikes", {}).items():
        if kind := _strike_kind(decision, row):
            yield kind, key, {"strike": _picked("strikes", row), "by": who}
    for key, row in decision.rows.get("appeals", {}).items():
        kind = "appeal.filed" if what in ("appeal", "undo") else "appeal.decided"
        yield kind, key, {"appeal": _picked("appeals", row), "by": who}


def _cut_without_verdict(decision: AuditedDecision) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A cut of a broadcaster who was blocked elsewhere, or of a stream that could not be watched."""
    detail, ident = decision.detail, decision.entry.subject
    proven = detail.get("identity_proven", True)
    stream = {"id": ident, **{name: detail.get(name) for name in _STREAM}, "identity_proven": proven}
    reason, block_id = detail.get("reason"), detail.get("block_id")
    yield "stream.cut", ident, {"stream": stream, "reason": reason, "block_id": block_id}
    if block_id is None and proven:
        # The notice of a block goes out when the block is made.
        text = notice("cut")
        about = {"broadcaster": detail.get("broadcaster"), "app": detail.get("app"), "block_id": None}
        yield "notice", ident, {**about, "en": text.en, "ar": text.ar}


def _incident_kind(what: str, row: Mapping[str, Any]) -> str:
    match what:
        case "violation":
            return "stream.cut"
        case "incident":
            # A CUT here rests on no violation. Another audit entry reports its result.
            return "verdict.flag" if row["action"] == Action.FLAG or row["shadow"] else ""
        case _ if what == ACTIVITY:
            return "incident.continued"
        case "cut_confirmed":
            return "cut.confirmed"
        case "cut_unconfirmed":
            return "cut.unconfirmed"
        case "review" | "undo":
            return "incident.reviewed"
    return ""


def _strike_kind(decision: AuditedDecision, row: Mapping[str, Any]) -> str:
    """Empty where the decision changed only what the strike is counted with, or its term."""
    if row["pardoned_ms"] == decision.entry.wall_ms:
        return "strike.pardoned"
    if row["id"] in decision.detail.get("restored", ()):
        return "strike.made"
    made = decision.detail.get("strike", decision.entry.subject) == row["id"]
    return "strike.made" if made and decision.entry.what in ("violation", "strike") else ""


def _notice(decision: AuditedDecision, block: Block) -> dict[str, Any]:
    key = "cut" if decision.entry.what == "violation" else "blocked"
    text = block_notice(key, block, decision.entry.wall_ms)
    return {
        "broadcaster": block.subject,
        "app": block.app,
        "block_id": block.id,
        "incident_id": block.incident_id,
        "until_ms": block.until_ms,
        "provisional": block.provisional_at(decision.entry.wall_ms),
        "en": text.en,
        "ar": text.ar,
    }


def _picked(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    picked = {name: row[name] for name in _TABLE[table] if name in row}
    if table == "blocks":
        picked["subject"] = shown_subject(row["subject_kind"], row["subject"])
    elif table == "incidents" and "verdict" in row:
        verdict = json.loads(row["verdict"])
        picked["rule"], picked["urgent"] = verdict.get("rule") or None, bool(verdict.get("urgent"))
    elif table == "strikes":
        picked["pardoned"] = row["pardoned_ms"] is not None
        picked["provisional"] = row["review_by_ms"] is not None and not picked["pardoned"]
    return picked


def _event(decision: AuditedDecision, kind: str, subject: str, data: dict[str, Any]) -> WebhookEvent:
    number = decision.entry.number
    name = "\0".join((kind, subject, decision.entry.digest))
    ident = f"evt_{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    about = {"gate": decision.gate, "sequence": number}
    return WebhookEvent(ident, kind, number, _body(kind, decision.entry.wall_ms, {**about, **data}))


def _body(kind: str, wall_ms: int, data: Mapping[str, Any]) -> bytes:
    moment = datetime.datetime.fromtimestamp(wall_ms / 1000, datetime.UTC)
    document = {
        "type": kind,
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": data,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class _AuditRow:
    """A mapping that ``records`` can read like a row."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)
