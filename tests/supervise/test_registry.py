"""The live streams: pages without gaps, and a fair share of places for each peer."""

from __future__ import annotations

from pathlib import Path

from edge.clock import SystemClock
from edge.config import LimitsSection
from edge.domain import Publish, new_stream_id
from edge.supervise.authority import Caller
from edge.supervise.live_stream import LiveStream
from edge.supervise.registry import Registry
from edge.supervise.stream_journal import StreamJournal
from edge.supervise.usage_counter import UsageCounter


def registry(tmp_path: Path) -> Registry:
    clock = SystemClock()
    journal = StreamJournal(tmp_path / "streams.jsonl", frozenset())
    return Registry(LimitsSection(max_streams_per_broadcaster=100), journal, UsageCounter(clock), clock)


def stream(number: int, client: str = "") -> LiveStream:
    publish = Publish("test", f"c{number}", "live", "name", "anna")
    return LiveStream(new_stream_id(), publish, 0, 0.0, admitted_by=Caller(client, f"{client}:1"))


def test_pages_hold_each_stream_once_also_while_streams_come_and_go(tmp_path: Path) -> None:
    live = registry(tmp_path)
    streams = [stream(number) for number in range(25)]
    for one in streams:
        live.add_stream(one)
    seen = live.page(10, "")
    live.remove(streams[3])
    live.remove(streams[12])
    live.add_stream(stream(99))
    while page := live.page(10, seen[-1].id):
        seen += page
    ids = [one.id for one in seen]
    assert ids == sorted(set(ids))
    assert {one.id for one in live} <= set(ids)


def test_places_are_counted_by_the_peer_that_asked(tmp_path: Path) -> None:
    live = registry(tmp_path)
    one, two, other = stream(1, "ipv4:a"), stream(2, "ipv4:a"), stream(3, "ipv4:b")
    for each in (one, two, other):
        live.add_stream(each)
    assert (live.admitted_for("ipv4:a"), live.admitted_for("ipv4:b"), live.admitted_for("x")) == (2, 1, 0)
    live.remove(one)
    live.remove(one)
    assert live.admitted_for("ipv4:a") == 1
