"""One line for each event, with its subject and place, and without secrets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from edge.domain import Publish, SubjectKind
from edge.reasons import ServerNotice
from edge.telemetry import records
from edge.telemetry.log_aggregator import MAX_CAUSES
from edge.telemetry.log_lines import LogBackend
from edge.telemetry.plain_lines import PLAIN, SERVER_NOTICES
from edge.telemetry.records import Record
from tests.telemetry.reports import BLOCK, INCIDENT, KEY, ONE_OF_EACH, PUBLISH, VERDICT

WHO = {"server": "nginx-rtmp", "app": "live", "broadcaster": "anna"}


def lines_of(*reported: Record) -> list[EventDict]:
    backend = LogBackend()
    with capture_logs() as lines:
        for record in reported:
            backend.take(record)
    return lines


@pytest.mark.parametrize(
    ("record", "event", "fields"),
    [
        (
            records.Flagged(INCIDENT),
            "flagged",
            {**WHO, "stream_id": "st_1", "incident_id": "in_1", "reason": "detector", "by": "gate"},
        ),
        (
            records.CutDecided("st_1", PUBLISH, VERDICT, "in_1"),
            "cut decided",
            {**WHO, "stream_id": "st_1", "incident_id": "in_1", "category": "fight", "by": "gate"},
        ),
        (
            records.CutDecided("st_1", PUBLISH, VERDICT, "", "bl_1", "rita"),
            "cut decided",
            {**WHO, "stream_id": "st_1", "block_id": "bl_1", "by": "rita"},
        ),
        (
            records.CutProven("st_1", PUBLISH, "hook", "in_1", 2, 41.7),
            "cut confirmed",
            {**WHO, "stream_id": "st_1", "proof": "hook", "attempts": 2, "time_to_cut_ms": 42},
        ),
        (
            records.BlockMade(BLOCK, "rita"),
            "block made",
            {"block_id": "bl_1", "broadcaster": "anna", "app": "live", "incident_id": "in_1", "by": "rita"},
        ),
        (records.BlockLifted(BLOCK, "rita"), "block lifted", {"block_id": "bl_1", "by": "rita"}),
        (
            records.IncidentReviewed(INCIDENT, "rita"),
            "incident reviewed",
            {**WHO, "stream_id": "st_1", "incident_id": "in_1", "state": "confirmed", "by": "rita"},
        ),
        (
            records.PublishRefused(PUBLISH, "blocked", "bl_1"),
            "publish refused",
            {**WHO, "reason": "blocked", "block_id": "bl_1", "by": "gate"},
        ),
        (records.TurnedAway(PUBLISH, "cut"), "publish refused", {**WHO, "reason": "cut", "by": "hook"}),
        (
            records.BlockMade(BLOCK, "gate", "st_1"),
            "block made",
            {"stream_id": "st_1", "broadcaster": "anna", "by": "gate"},
        ),
        (
            records.NameResembles("st_1", PUBLISH, dataclasses.replace(BLOCK, subject="аnna")),
            "the name looks like that of a blocked broadcaster",
            {**WHO, "stream_id": "st_1", "resembles": "аnna", "block_id": "bl_1"},
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_one_line_says_who_where_and_by_whom(record: Record, event: str, fields: dict[str, object]) -> None:
    (line,) = lines_of(record)
    assert (line["event"], line["log_level"]) == (event, "info")
    assert fields.items() <= line.items()


def test_alarms_are_critical() -> None:
    said = lines_of(*ONE_OF_EACH)
    assert {line["event"] for line in said if line["log_level"] == "critical"} == {
        "a violation was seen on a stream that is over",
        "a bank entry matches many streams: is it right",
        "a bank entry matches too many streams: it is quarantined and cuts no more",
        "the audio of a bank entry matches too many streams: add it to a benign bank",
        "cut is not confirmed; asking goes on",
        "a cut is not confirmed, and its caller is gone",
        "cut was never confirmed",
        "block is not durable: held in memory and retried",
        "a block is held in memory only",
        "incident given up",
        "evidence is erased, and not yet on record so",
        "a live stream cannot be pulled",
        SERVER_NOTICES[ServerNotice.LOST][1],
        "the ledger refuses a decision; it stays in the journal",
        PLAIN[records.CommitsLost][1],
        PLAIN[records.ClockStepped][1],
        "the fleet's policy cannot be used here",
        "worker not restarted",
        "a decision was in memory alone, and is lost",
        "an earlier run took a decision that it never wrote: make it again",
        "alarm",
    }


def test_samples_and_snapshots_write_nothing() -> None:
    quiet = (
        records.Passed,
        records.NotPassed,
        records.PoolSnapshot,
        records.WorkerMeasured,
        records.LedgerRowsUnknown,
    )
    assert lines_of(*(record for record in ONE_OF_EACH if isinstance(record, quiet))) == []


def test_no_line_holds_a_key() -> None:
    """Lines contain no name that may be secret, and no connection by which a server can be queried."""
    without_account = Publish("nginx-rtmp", "conn-7", "live", KEY, f"live/{KEY}", "192.0.2.7")
    blocked_key = dataclasses.replace(BLOCK, subject_kind=SubjectKind.STREAM_KEY, subject=KEY)
    blocked_token = dataclasses.replace(BLOCK, subject_kind=SubjectKind.ATTRIBUTE, subject="token=tok-secret")
    said = lines_of(
        *ONE_OF_EACH,
        records.PublishRefused(without_account, "blocked"),
        records.Flagged(dataclasses.replace(INCIDENT, publish=without_account)),
        records.BlockMade(blocked_key, "gate"),
        records.BlockMade(blocked_token, "gate"),
    )
    assert len(said) > 20
    for line in said:
        for secret in (KEY, "tok-secret", "conn-7"):
            assert secret not in str(line)
    assert "live/sk…" in {line.get("broadcaster") for line in said}


def test_a_loop_of_refusals_is_a_line_at_once_and_then_one_a_second() -> None:
    backend = LogBackend()
    other = dataclasses.replace(PUBLISH, broadcaster="omar")
    with capture_logs() as lines:
        for second in range(3):
            for _ in range(40):
                backend.take(records.PublishRefused(PUBLISH, "blocked", "bl_1"))
            if second == 1:
                backend.take(records.PublishRefused(other, "capacity"))
            backend.flush()
    assert [(line["broadcaster"], line.get("count")) for line in lines] == [
        ("anna", None),
        ("anna", 39),
        ("omar", None),
        ("anna", 40),
        ("anna", 40),
    ]
    assert {line["event"] for line in lines} == {"publish refused"}
    with capture_logs() as lines:
        backend.flush()
        backend.take(records.PublishRefused(PUBLISH, "blocked", "bl_1"))
    assert [line.get("count") for line in lines] == [None]  # After a quiet second.


def test_refusals_of_thousands_are_a_bounded_number_of_lines() -> None:
    backend = LogBackend()
    with capture_logs() as lines:
        for number in range(5000):
            backend.take(
                records.PublishRefused(dataclasses.replace(PUBLISH, broadcaster=f"b{number}"), "capacity")
            )
        backend.flush()
    assert len(lines) == MAX_CAUSES + 1
    assert lines[-1]["cause"] == "other"
    assert lines[-1]["count"] == 5000 - MAX_CAUSES


def test_webhooks_that_fail_alike_are_one_line_a_second() -> None:
    backend = LogBackend()
    with capture_logs() as lines:
        for number in range(100):
            backend.take(records.WebhookFailed(f"ev_{number}", "block.made", 1, 10, "503"))
        backend.flush()
    assert [(line["log_level"], line["problem"], line.get("count")) for line in lines] == [
        ("warning", "503", None),
        ("warning", "503", 99),
    ]


def test_the_reference_names_every_line() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/logs.md").read_text()
    backend = LogBackend()
    with capture_logs() as lines:
        for record in ONE_OF_EACH:
            backend.take(record)
        backend.flush()
    for line in lines:
        if line["log_level"] != "debug":
            assert f"`{line['event']}`" in page


def test_what_a_publisher_does_in_a_loop_is_one_line_and_a_count() -> None:
    backend = LogBackend()
    with capture_logs() as lines:
        for number in range(500):
            backend.take(records.WatchingFailed(f"st_{number}", PUBLISH, "broken_media", "again"))
            backend.take(records.StreamOver(f"st_{number}", PUBLISH, "closed", 0))
        backend.flush()
    assert [(line["event"], line.get("count"), line["stream_id"]) for line in lines] == [
        ("watching failed", None, "st_0"),
        ("stream is over", None, "st_0"),
        ("watching failed", 499, "st_0"),
        ("stream is over", 499, "st_0"),
    ]
