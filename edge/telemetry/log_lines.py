"""Writes records to the structured log: one line an event, or one a second for a flood of events.

Lines name people only in the fields ``broadcaster``, ``by`` and ``address``. They never show a stream's
name, its connection, its attributes or a blocked stream key. On many servers these are credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from edge.domain import Incident, Publish, shown_account
from edge.reasons import UnconfirmedReason
from edge.telemetry import records
from edge.telemetry.log_aggregator import LogAggregator
from edge.telemetry.log_fields import block_fields, fields_of, incident_fields, publish_fields, verdict_fields
from edge.telemetry.plain_lines import PLAIN, SERVER_NOTICES
from edge.telemetry.records import GATE, Record

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
        self._on(records.WatchingFailed, self._note_watching_failed)
        self._on(records.StreamMoved, self._note_moved)
        self._on(records.TimestampsWrong, self._note_timestamps_wrong)
        self._on(records.StreamOver, self._note_stream_over)
        self._on(records.MatchCounted, _match_counted)
        self._on(records.BankEntryRanAway, _bank_entry_ran_away)
        self._on(records.EntriesLookedUp, _entries_looked_up)
        self._on(records.MatchedLate, _matched_late)
        self._on(records.EntryHeld, _entry_held)
        self._on(records.BankEntryInDoubt, _bank_entry_in_doubt)
        self._on(records.SourceDemoted, _source_demoted)
        self._on(records.DecisionLost, _decision_lost)
        self._on(records.Flagged, _flagged)
        self._on(records.FlaggedAgain, _flagged_again)
        self._on(records.CutDecided, _cut_decided)
        self._on(records.CutProven, _cut_confirmed)
        self._on(records.CutUnconfirmed, _cut_unconfirmed)
        self._on(records.CutGivenUp, _cut_given_up)
        self._on(records.ViolationRecorded, _violation_recorded)
        self._on(records.ServerNoticed, _server_noticed)
        self._on(records.Reloaded, lambda r: log.info("reloaded", part=r.part, **r.taken))
        self._on(records.IncidentUnrecorded, _incident_unrecorded)
        self._on(records.BlockMade, _block_made)
        self._on(records.BlockChanged, lambda r: log.info("block changed", **block_fields(r.block), by=r.by))
        self._on(records.BlockLifted, lambda r: log.info("block lifted", **block_fields(r.block), by=r.by))
        self._on(records.IncidentReviewed, lambda r: _reviewed("incident reviewed", r.incident, r.by))
        self._on(records.ReviewUndone, lambda r: _reviewed("review undone", r.incident, r.by))
        self._on(records.ProcessContained, _process_contained)

    def take(self, record: Record) -> None:
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)
        elif (line := PLAIN.get(type(record))) is not None:
            level, event = line
            getattr(log, level)(event, **fields_of(record))

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
                **publish_fields(record.publish),
                "stream_id": record.stream_id,
                "resembles": shown_account(record.block.subject),
                "block_id": record.block.id,
            },
        )

    def _note_refused(self, record: records.PublishRefused) -> None:
        self._note_refusal(record.publish, record.reason, record.detail, record.block_id, by=GATE)

    def _note_turned_away(self, record: records.TurnedAway) -> None:
        self._note_refusal(record.publish, record.reason, record.detail, by="hook")

    def _note_refusal(
        self, publish: Publish, reason: str, detail: str, block_id: str = "", *, by: str
    ) -> None:
        """Aggregates refusals. A refused encoder retries in a loop, and after a failure all encoders do."""
        self._refused.note(
            (reason, publish.server, publish.app, publish.broadcaster),
            fields=lambda: {
                **publish_fields(publish),
                "reason": reason,
                "detail": detail,
                "block_id": block_id,
                "by": by,
            },
        )

    def _note_timestamps_wrong(self, record: records.TimestampsWrong) -> None:
        self._stamps.note(
            (record.how, record.publish.app, record.publish.broadcaster),
            fields=lambda: {
                "stream_id": record.stream_id,
                **publish_fields(record.publish),
                "how": record.how.value,
            },
        )

    def _note_watching_failed(self, record: records.WatchingFailed) -> None:
        """A publisher can send broken media again and again."""
        self._failed.note(
            (record.reason, record.publish.server, record.publish.app, record.publish.broadcaster),
            fields=lambda: {
                "stream_id": record.stream_id,
                **publish_fields(record.publish),
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
                **publish_fields(record.publish),
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


def _match_counted(record: records.MatchCounted) -> None:
    log.info(
        "footage that is only counted",
        stream_id=record.stream_id,
        bank=record.bank,
        entry=record.entry,
        source=record.source,
    )


def _bank_entry_ran_away(record: records.BankEntryRanAway) -> None:
    if record.quarantined:
        event = "a bank entry matches too many streams: it is quarantined and cuts no more"
    else:
        event = "the audio of a bank entry matches too many streams: add it to a benign bank"
    log.critical(event, bank=record.bank, entry=record.entry, limit=record.limit)


def _entries_looked_up(record: records.EntriesLookedUp) -> None:
    log.info(
        "new bank entries looked up in what streams have shown",
        hashes=record.hashes,
        views=record.views,
        matches=record.matches,
        took_ms=round(record.took_ms),
    )


def _bank_entry_in_doubt(record: records.BankEntryInDoubt) -> None:
    event = "a bank entry matches many streams: is it right"
    log.critical(event, bank=record.bank, entry=record.entry, limit=record.limit)


def _source_demoted(record: records.SourceDemoted) -> None:
    if record.why:
        log.warning(
            "a source of bank entries is demoted: they only flag", source=record.source, why=record.why
        )
    else:
        log.warning("a source of bank entries is demoted no more", source=record.source)


def _entry_held(record: records.EntryHeld) -> None:
    log.warning(
        "a bank entry may not do what its bank is for",
        bank=record.bank,
        entry=record.entry,
        benign_share=round(record.benign_share, 3),
        streams=record.streams,
        own_calm=record.own_calm,
    )


def _matched_late(record: records.MatchedLate) -> None:
    log.info(
        "a stream had shown a bank entry before the bank knew it",
        stream_id=record.stream_id,
        **publish_fields(record.publish),
        bank=record.bank,
        entry=record.entry,
        action=record.action.value,
        missed_ms=record.missed_ms,
        ago_ms=record.ago_ms,
        over=record.over,
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


def _flagged(record: records.Flagged) -> None:
    incident = record.incident
    log.info(
        "flagged",
        stream_id=incident.stream_id,
        **publish_fields(incident.publish),
        incident_id=incident.id,
        **verdict_fields(incident.verdict),
        shadow=incident.verdict.shadow,
        by=record.by,
    )


def _flagged_again(record: records.FlaggedAgain) -> None:
    log.info(
        "flagged again",
        stream_id=record.stream_id,
        **publish_fields(record.publish),
        incident_id=record.incident_id,
        **verdict_fields(record.verdict),
        shadow=record.verdict.shadow,
        by=record.by,
    )


def _cut_decided(record: records.CutDecided) -> None:
    log.info(
        "cut decided",
        stream_id=record.stream_id,
        **publish_fields(record.publish),
        incident_id=record.incident_id,
        block_id=record.block_id,
        **verdict_fields(record.verdict),
        by=record.by,
    )


def _cut_confirmed(record: records.CutProven) -> None:
    ms = record.time_to_cut_ms
    log.info(
        "cut confirmed",
        stream_id=record.stream_id,
        **publish_fields(record.publish),
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
        **publish_fields(record.publish),
        incident_id=record.incident_id,
        attempts=record.attempts,
    )


def _cut_given_up(record: records.CutGivenUp) -> None:
    log.critical(
        "cut was never confirmed",
        stream_id=record.stream_id,
        **publish_fields(record.publish),
        incident_id=record.incident_id,
        error=record.error,
    )


def _violation_recorded(record: records.ViolationRecorded) -> None:
    incident = record.incident
    if record.durable_in == "memory":
        log.critical(
            "block is not durable: held in memory and retried",
            **incident_fields(incident),
            error=record.error,
        )
    else:
        log.debug("violation recorded", **incident_fields(incident), durable_in=record.durable_in)


def _block_made(record: records.BlockMade) -> None:
    log.info("block made", **block_fields(record.block), stream_id=record.stream_id, by=record.by)


def _server_noticed(record: records.ServerNoticed) -> None:
    level, event = SERVER_NOTICES[record.what]
    said = {"server": record.server, "app": record.app, "stream_id": record.stream_id}
    getattr(log, level)(event, **said, detail=record.detail)


def _reviewed(event: str, incident: Incident, by: str) -> None:
    log.info(
        event,
        stream_id=incident.stream_id,
        **publish_fields(incident.publish),
        incident_id=incident.id,
        state=incident.state.value,
        shadow=incident.verdict.shadow,
        by=by,
    )


def _incident_unrecorded(record: records.IncidentUnrecorded) -> None:
    said = incident_fields(record.incident)
    if record.given_up:
        log.critical("incident given up", **said, error=record.error)
    else:
        log.error("incident is not on record yet", **said, error=record.error)
