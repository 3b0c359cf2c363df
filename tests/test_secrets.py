"""No stream key reaches people, logs, events or errors. Only the ledger's rows and hooks hold it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from edge.contract.operator import block_to_proto
from edge.domain import (
    Action,
    Block,
    Incident,
    Publish,
    StreamId,
    SubjectKind,
    Verdict,
    masked,
    shown_subject,
)
from edge.errors import GateError
from edge.evidence import incident_record
from edge.ingest.rtmp import PublishRequest
from edge.ledger import Decisions, Ledger
from edge.pullers.pull_url import PullUrl
from edge.servers.upstream_hook import Upstream
from edge.supervise.live_stream import LiveStream
from edge.supervise.stream_journal import JournalledStream
from edge.telemetry.log_lines import LogBackend
from edge.telemetry.records import BlockMade, DecisionLost, NameResembles
from edge.webhook.events import events_of

KEY = "live_9f2c_Zq81kLmNop77"
PUBLISH = Publish("srs", "7", "live", "show", "anna", attributes={"stream_key": KEY, "tenant": "acme"})
VERDICT = Verdict(Action.CUT, 0, -1)


def block(ledger: Ledger, kind: SubjectKind = SubjectKind.STREAM_KEY, subject: str = KEY) -> Block:
    return ledger.add_block(kind, subject, "", 60_000, "leaked", "anna", 1_000)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "ledger.db")


def test_only_the_end_of_a_long_key_is_shown() -> None:
    assert masked(KEY) == "***op77"
    assert masked("hunter2") == masked("") == "***"
    assert shown_subject("stream_key", KEY) == "***op77"
    assert shown_subject("attribute", f"session_token={KEY}") == "session_token=***op77"
    assert shown_subject("attribute", "tenant=acme") == "tenant=acme"
    assert shown_subject("broadcaster", "key-club") == "key-club"


def test_nothing_that_holds_a_key_shows_it(ledger: Ledger) -> None:
    incident = Incident("in_1", "st_1", PUBLISH, VERDICT, 0)
    live = LiveStream(StreamId("st_1"), PUBLISH, 0, 0.0, url=f"rtmp://u:{KEY}@h/live/show?key={KEY}")
    request = PublishRequest("live", "show", "anna", "192.0.2.1", stream_key=KEY, token=KEY)
    kept = JournalledStream(StreamId("st_1"), PUBLISH, 0)
    places = PullUrl.parse(live.url or ""), Upstream(f"http://platform:{KEY}@h/hook")
    for holder in (PUBLISH, incident, live, request, kept, block(ledger), *places):
        assert KEY not in repr(holder), type(holder)
        assert KEY not in str(holder), type(holder)


def test_answers_events_records_and_logs_mask_it(ledger: Ledger) -> None:
    made = block(ledger)
    assert block_to_proto(made).subject == "***op77"
    [decision] = [one for one in Decisions(ledger).after(0) if one.entry.what == "block"]
    events = events_of(decision)
    assert [json.loads(event.body)["data"]["block"]["subject"] for event in events] == ["***op77"]
    assert KEY not in decision.entry.detail
    record = incident_record(Incident("in_1", "st_1", PUBLISH, VERDICT, 0))
    assert record["publish"]["attributes"] == {"stream_key": "***op77", "tenant": "acme"}
    with capture_logs() as lines:
        LogBackend().take(BlockMade(made, "anna"))
    assert KEY not in str(lines)
    assert ledger.audit_verify()


def test_no_line_shows_a_name_that_may_be_the_key(ledger: Ledger) -> None:
    """A server without accounts uses ``app/name`` for the broadcaster."""
    made = block(ledger, SubjectKind.BROADCASTER, f"live/{KEY}")
    alike = Publish("nginx-rtmp", "8", "live", "x", "anna")
    lost = DecisionLost("violation", "in_1", f"live/{KEY}", "live", "fight", 1, 1, earlier_run=False)
    with capture_logs() as lines:
        backend = LogBackend()
        for record in (BlockMade(made, "anna"), NameResembles("st_1", alike, made), lost):
            backend.take(record)
        backend.flush()
    assert len(lines) == 3
    assert KEY not in str(lines)
    assert lines[0]["broadcaster"] == "live/li…"


def test_an_error_of_the_database_quotes_no_row(ledger: Ledger) -> None:
    with ledger._database.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE blocks"))
    with pytest.raises((GateError, sa.exc.SQLAlchemyError)) as raised:
        block(ledger)
    assert KEY not in str(raised.value)


def test_a_block_is_found_by_the_whole_key_still(ledger: Ledger) -> None:
    made = block(ledger)
    assert [found.id for found in ledger.blocks(subject=KEY, wall_ms=1_000)] == [made.id]
