"""Writes records to the structured log: one line an event, or one a second for a flood of events.

Lines name people only in the fields ``broadcaster``, ``by`` and ``address``. They never show a stream's
name, its connection, its attributes or a blocked stream key. On many servers these are credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from edge.domain import Block, Incident, Publish, SubjectKind, Verdict, shown_account
from edge.reasons import UnconfirmedReason
from edge.telemetry import records
from edge.telemetry.log_aggregator import LogAggregator
from edge.telemetry.records import Record

R = TypeVar("R", bound=Record)

log = structlog.get_logger(__name__)


class LogBackend:
    """Log backend. Ignores records whose lines nobody would read, such as those of passed samples."""

    def __init__(self) -> None:
        self._handlers: dict[type[Record], Callable[[Any], None]] = {}
        self._refused = LogAggregator("publish refused", level="info", first_at_once=True)
        self._failed = LogAggregator("watching failed", first_at_once=True)
        self._moved = LogAggregator("stream changes the kind of its worker", level="info", first_at_once=True)
        self._over = LogAggregator("stream is over", level="info", first_at_once=True)
        self._broken_calls = LogAggregator("calls ended by their callers' doing")
        self._not_judged = LogAggregator("not judged")
        self._stamps = LogAggregator(
            "timestamps are wrong, the gate's own clock replaces them", first_at_once=True
        )
        self._webhooks = LogAggregator("webhook not delivered, it is tried again", first_at_once=True)
        self._alike = LogAggregator(
            "the name looks like that of a blocked broadcaster", level="info", first_at_once=True
        )
        self._on(records.NameResembles, self._note_alike)
        self._on(records.PublishRefused, self._note_refused)
        self._on(records.TurnedAway, self._note_turned_away)
        self._on(records.CallBroken, lambda r: self._broken_calls.note(r.cause))
        self._on(records.NotJudged, lambda r: self._not_judged.note(r.reason, r.stream_id, r.count))
        self._on(records.WebhookFailed, self._note_webhook_failed)
        self._on(records.SourceOpened, _source_opened)
        self._on(records.WatchingFailed, self._note_watching_failed)
        self._on(records.StreamMoved, self._note_moved)
        self._on(records.TimestampsWrong, self._note_timestamps_wrong)
        self._on(records.StreamOver, self._note_stream_over)
        self._on(records.JudgedTooLate, _judged_too_late)
        self._on(records.BankEntryRanAway, _bank_entry_ran_away)
        self._on(records.AlarmRaised, _alarm_raised)
        self._on(records.DecisionLost, _decision_lost)
        self._on(records.AlarmCleared, _alarm_cleared)
        self._on(records.Flagged, _flagged)
        self._on(records.FlaggedAgain, _flagged_again)
        self._on(records.CutDecided, _cut_decided)
        self._on(records.CutProven, _cut_confirmed)
        self._on(records.CutUnconfirmed, _cut_unconfirmed)
        self._on(records.CutGivenUp, _cut_given_up)
        self._on(records.ViolationRecorded, _violation_recorded)
        self._on(records.EvidenceMissing, _evidence_missing)
        self._on(records.BlockMade, lambda r: log.info("block made", **_block(r.block), by=r.by))
        self._on(records.BlockChanged, lambda r: log.info("block changed", **_block(r.block), by=r.by))
        self._on(records.BlockLifted, lambda r: log.info("block lifted", **_block(r.block), by=r.by))
        self._on(records.IncidentReviewed, lambda r: _reviewed("incident reviewed", r.incident, r.by))
        self._on(records.ReviewUndone, lambda r: _reviewed("review undone", r.incident, r.by))
        self._on(records.ProcessContained, _process_contained)
        self._on(records.LedgerBack, lambda _: log.info("ledger is back"))
        self._on(records.WebhookGivenUp, _webhook_given_up)

    def take(self, record: Record) -> None:
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)

    def flush(self) -> None:
        self._refused.flush()
        self._alike.flush()
        self._failed.flush()
        self._over.flush()
        self._broken_calls.flush()
        self._not_judged.flush()
        self._stamps.flush()
        self._webhooks.flush()

    def _on(self, kind: type[R], handler: Callable[[R], None]) -> None:
        self._handlers[kind] = handler

    def _note_alike(self, record: records.NameResembles) -> None:
        """An encoder that comes back again and again has the same name each time."""
        self._alike.note(
            (record.publish.app, record.publish.broadcaster),
            fields=lambda: {
                **_publish(record.publish),
                "stream_id": record.stream_id,
                "resembles": shown_account(record.block.subject),
                "block_id": record.block.id,
            },
        )

    def _note_refused(self, record: records.PublishRefused) -> None:
        self._note_refusal(record.publish, record.reason, record.detail, record.block_id)

    def _note_turned_away(self, record: records.TurnedAway) -> None:
        self._note_refusal(record.publish, record.reason, record.detail)

    def _note_refusal(self, publish: Publish, reason: str, detail: str, block_id: str = "") -> None:
        """Aggregates refusals. A refused encoder retries in a loop, and after a failure all encoders do."""
        self._refused.note(
            (reason, publish.server, publish.app, publish.broadcaster),
            fields=lambda: {
                **_publish(publish),
                "reason": reason,
                "detail": detail,
                "block_id": block_id,
            },
        )

    def _note_timestamps_wrong(self, record: records.TimestampsWrong) -> None:
        self._stamps.note(
            (record.how, record.publish.app, record.publish.broadcaster),
            fields=lambda: {
                "stream_id": record.stream_id,
                **_publish(record.publish),
                "how": record.how.value,
            },
        )

    def _note_watching_failed(self, record: records.WatchingFailed) -> None:
        """A publisher can send broken media again and again."""
        self._failed.note(
            (record.reason, record.publish.server, record.publish.app, record.publish.broadcaster),
            fields=lambda: {
                "stream_id": record.stream_id,
                **_publish(record.publish),
                "reason": record.reason,
                "detail": record.detail,
            },
        )

    def _note_moved(self, record: records.StreamMoved) -> None:
        """A publisher decides what its streams cost, and so how many lines there would be."""
        self._moved.note(
            record.heavy,
            fields=lambda: {"stream_id": record.stream_id, "heavy": record.heavy, "share": record.share},
        )

    def _note_stream_over(self, record: records.StreamOver) -> None:
        """A publisher can come and go in a loop."""
        self._over.note(
            (record.reason, record.publish.server, record.publish.app, record.publish.broadcaster),
            fields=lambda: {
                "stream_id": record.stream_id,
                **_publish(record.publish),
                "reason": record.reason,
            },
        )

    def _note_webhook_failed(self, record: records.WebhookFailed) -> None:
        """Aggregates failures. While a receiver is down every event fails."""
        self._webhooks.note(
            record.problem,
            fields=lambda: {
                "event_id": record.event_id,
                "type": record.type,
                "attempts": record.attempts,
                "again_in_ms": record.again_in_ms,
                "problem": record.problem,
            },
        )


def _publish(publish: Publish) -> dict[str, object]:
    """Returns where a stream came from and whose it is.

    A server without accounts uses the stream's name for the broadcaster, and the name may be the key. Of
    such a name only the beginning is shown.
    """
    broadcaster = publish.broadcaster
    if broadcaster == f"{publish.app}/{publish.name}":
        broadcaster = f"{publish.app}/{publish.name[:2]}…"
    return {"server": publish.server, "app": publish.app, "broadcaster": broadcaster}


def _verdict(verdict: Verdict) -> dict[str, object]:
    return {"reason": verdict.reason, "category": verdict.category, "score": round(verdict.score, 3)}


def _block(block: Block) -> dict[str, object]:
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


def _process_contained(record: records.ProcessContained) -> None:
    if record.missing:
        log.warning(
            "a process is not fully contained",
            process=record.process,
            in_force=record.in_force,
            missing=dict(record.missing),
        )
    else:
        log.info("a process is contained", process=record.process, in_force=record.in_force)


def _source_opened(record: records.SourceOpened) -> None:
    log.info("watching", stream_id=record.stream_id, codec=record.codec)


def _judged_too_late(record: records.JudgedTooLate) -> None:
    log.critical("a violation was seen on a stream that is over", stream_id=record.stream_id)


def _bank_entry_ran_away(record: records.BankEntryRanAway) -> None:
    if record.quarantined:
        event = "a bank entry matches too many streams: it is quarantined and cuts no more"
    else:
        event = "the sound of a bank entry matches too many streams: add it to a benign bank"
    log.critical(event, bank=record.bank, entry=record.entry, limit=record.limit)


def _alarm_raised(record: records.AlarmRaised) -> None:
    log.critical(
        "alarm", part=record.part, reason=record.reason, subject=record.subject, detail=record.detail
    )


def _decision_lost(record: records.DecisionLost) -> None:
    if record.earlier_run:
        event = "an earlier run took a decision that it never wrote: make it again"
    else:
        event = "a decision was in memory alone, and is lost"
    log.critical(
        event,
        what=record.what,
        subject=record.subject,
        broadcaster=shown_account(record.broadcaster),
        app=record.app,
        category=record.category,
        blocked_until_ms=record.blocked_until_ms,
        wall_ms=record.wall_ms,
    )


def _alarm_cleared(record: records.AlarmCleared) -> None:
    log.warning("alarm is over", part=record.part, reason=record.reason, subject=record.subject)


def _flagged(record: records.Flagged) -> None:
    incident = record.incident
    log.info(
        "flagged",
        stream_id=incident.stream_id,
        **_publish(incident.publish),
        incident_id=incident.id,
        **_verdict(incident.verdict),
        shadow=incident.verdict.shadow,
        by=record.by,
    )


def _flagged_again(record: records.FlaggedAgain) -> None:
    log.info(
        "flagged again",
        stream_id=record.stream_id,
        **_publish(record.publish),
        incident_id=record.incident_id,
        **_verdict(record.verdict),
        shadow=record.verdict.shadow,
        by=record.by,
    )


def _cut_decided(record: records.CutDecided) -> None:
    log.info(
        "cut decided",
        stream_id=record.stream_id,
        **_publish(record.publish),
        incident_id=record.incident_id,
        block_id=record.block_id,
        **_verdict(record.verdict),
        by=record.by,
    )


def _cut_confirmed(record: records.CutProven) -> None:
    ms = record.time_to_cut_ms
    log.info(
        "cut confirmed",
        stream_id=record.stream_id,
        **_publish(record.publish),
        incident_id=record.incident_id,
        proof=record.proof,
        attempts=record.attempts,
        time_to_cut_ms=None if ms is None else round(ms),
    )


def _cut_unconfirmed(record: records.CutUnconfirmed) -> None:
    asks = record.reason is UnconfirmedReason.LIMIT
    log.critical(
        "cut is not confirmed; asking goes on" if asks else "a cut is not confirmed, and its caller is gone",
        stream_id=record.stream_id,
        **_publish(record.publish),
        incident_id=record.incident_id,
        attempts=record.attempts,
    )


def _cut_given_up(record: records.CutGivenUp) -> None:
    log.critical(
        "cut was never confirmed",
        stream_id=record.stream_id,
        **_publish(record.publish),
        incident_id=record.incident_id,
        error=record.error,
    )


def _violation_recorded(record: records.ViolationRecorded) -> None:
    incident = record.incident
    if record.durable_in == "memory":
        log.critical(
            "block is not durable: held in memory and retried",
            stream_id=incident.stream_id,
            incident_id=incident.id,
            error=record.error,
        )
    else:
        log.debug("violation recorded", incident_id=incident.id, durable_in=record.durable_in)


def _evidence_missing(record: records.EvidenceMissing) -> None:
    log.error("no evidence clip", incident_id=record.incident_id, error=record.error)


def _reviewed(event: str, incident: Incident, by: str) -> None:
    log.info(
        event,
        stream_id=incident.stream_id,
        **_publish(incident.publish),
        incident_id=incident.id,
        state=incident.state.value,
        shadow=incident.verdict.shadow,
        by=by,
    )


def _webhook_given_up(record: records.WebhookGivenUp) -> None:
    log.error(
        "webhook given up",
        event_id=record.event_id,
        type=record.type,
        audit_number=record.audit_number,
        attempts=record.attempts,
        problem=record.problem,
    )
