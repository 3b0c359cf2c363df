"""A publish from admission to its end, at a server whose state the tests set."""

from __future__ import annotations

from typing import Any

import pytest

from edge.domain import Publish, StreamId
from edge.errors import CapacityExceeded
from edge.reasons import ServerNotice
from edge.servers.doubles import ConnectorDouble, GatekeeperDouble
from edge.servers.publish_lifecycle import Follower
from edge.servers.server_double import ServerDouble
from tests.servers.conftest import until

ST1, ST2, ST3 = StreamId("st1"), StreamId("st2"), StreamId("st3")


def publish(connection: str) -> Publish:
    return Publish("node-media-server", connection, "live", "show", f"user of {connection}")


def follower(
    gate: GatekeeperDouble,
    state: ConnectorDouble,
    start_s: float = 30.0,
    poll_s: float = 0.01,
    late_s: float = 0.0,
) -> Follower:
    url = "rtmp://server/{app}/{name}"
    return Follower(gate, state, url, start_s=start_s, poll_s=poll_s, late_s=late_s)


def alarms(gate: GatekeeperDouble) -> list[str]:
    return [notice.stream_id for notice in gate.notices if notice.what is ServerNotice.LOST]


async def finished(follow: Follower, *streams: StreamId) -> None:
    await until(lambda: not follow._followed.keys() & set(streams))


async def test_the_pull_starts_when_the_publish_is_live(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    follow = follower(gate, state)
    follow.follow(ST1, publish("a"))
    follow.follow(ST1, publish("a"))
    state.live = {"a"}
    await until(lambda: bool(gate.seen))
    assert gate.seen == ["attach st1 rtmp://server/live/show"]
    await follow.aclose()


async def test_the_end_is_seen_in_the_state(gate: GatekeeperDouble, state: ConnectorDouble) -> None:
    state.live = {"a"}
    follow = follower(gate, state)
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    state.live = set()
    await until(lambda: len(gate.seen) > 1)
    assert gate.seen[1:] == ["ended node-media-server a live/show"]
    await follow.aclose()


@pytest.mark.parametrize("live", [set(), {"another"}])
async def test_what_never_starts_is_never_pulled(
    gate: GatekeeperDouble, state: ConnectorDouble, live: set[str]
) -> None:
    state.live = live
    follow = follower(gate, state, start_s=0.05)
    follow.follow(ST1, publish("a"))
    await finished(follow, ST1)
    assert gate.seen == ["ended node-media-server a live/show"]
    assert alarms(gate) == [ST1], "it may publish under another reference"
    await follow.aclose()


async def test_who_has_not_started_is_not_left_connected(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    state.connected = {"a", "b"}
    follow = follower(gate, state, start_s=0.05)
    follow.follow(ST1, publish("a"))
    await finished(follow, ST1)
    assert gate.seen == ["ended node-media-server a live/show"]
    assert (state.cuts, state.connected) == (["a"], {"b"})
    assert not alarms(gate)
    await follow.aclose()


async def test_media_that_starts_late_is_cut_at_every_server(
    gate: GatekeeperDouble, server: ServerDouble
) -> None:
    connection = server.ids[0]
    connector: Any = server.connector()
    if not hasattr(connector, "publishes"):
        pytest.skip("its hooks wait for the pull, and follow nothing")
    follow = Follower(gate, connector, "rtmp://server", start_s=0.05, late_s=0.2)
    server.sessions = {connection: ("live", "not-yet")}
    follow.follow(ST1, Publish(server.kind, connection, "live", "show", "u42"))
    await until(lambda: bool(gate.seen))
    if connection in server.sessions:
        server.sessions[connection] = ("live", "show")
    await until(lambda: not server.sessions)
    assert gate.seen == [f"ended {server.kind} {connection} live/show"]
    await follow.aclose()
    await connector.aclose()


async def test_who_could_not_start_since_the_name_is_taken_is_no_alarm(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    state.live = {"a"}
    follow = follower(gate, state, start_s=0.05)
    follow.follow(ST1, publish("a"))
    await until(lambda: len(gate.seen) == 1)
    follow.follow(ST2, publish("b"))
    await finished(follow, ST2)
    assert gate.seen[1:] == ["ended node-media-server b live/show"]
    assert (state.live, alarms(gate)) == ({"a"}, [])
    await follow.aclose()


async def test_what_ended_while_the_gate_was_away_is_no_alarm(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    follow = follower(gate, state, start_s=0.05)
    follow.follow(ST1, publish("a"), resumed=True)
    await finished(follow, ST1)
    assert gate.seen == ["ended node-media-server a live/show"]
    assert not alarms(gate)
    await follow.aclose()


async def test_a_connection_that_was_let_in_again_is_not_ended_for_what_it_published_before(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    state.live = {"a"}
    follow = follower(gate, state)
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    state.live, state.connected = set(), {"a"}
    follow.follow(ST2, publish("a"))
    await finished(follow, ST1)
    assert gate.seen == ["attach st1 rtmp://server/live/show"]
    await follow.aclose()


async def test_a_connection_that_was_let_in_again_is_not_cut_for_what_it_did_not_start_before(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    state.connected = {"a"}
    follow = follower(gate, state, start_s=0.05)
    follow.follow(ST1, publish("a"))
    follow.follow(ST2, publish("a"))
    await finished(follow, ST1, ST2)
    assert state.cuts == ["a"]
    assert not follow._let_in
    await follow.aclose()


async def test_a_server_that_cannot_tell_is_watched_by_name(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    state.live = None
    follow = follower(gate, state, start_s=0.0)
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    assert gate.seen == ["attach st1 rtmp://server/live/show"]
    await follow.aclose()


async def test_a_new_publisher_of_a_name_ends_the_one_before(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    follow = follower(gate, state, poll_s=60.0)
    state.live = {"a"}
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    state.live = {"b"}
    follow.follow(ST2, publish("b"))
    await until(lambda: len(gate.seen) == 3)
    assert gate.seen[1:] == ["ended node-media-server a live/show", "attach st2 rtmp://server/live/show"]
    await follow.aclose()


async def test_a_server_that_names_no_publisher_ends_nobody_for_another(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    state.live = {"a"}
    follow = follower(gate, state, poll_s=60.0)
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    state.live = {"a", "b"}
    follow.follow(ST2, publish("b"))
    await until(lambda: len(gate.seen) == 2)
    assert gate.seen[1:] == ["attach st2 rtmp://server/live/show"]
    await follow.aclose()


async def test_a_new_publisher_does_not_prove_the_cut_of_the_one_before(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    follow = follower(gate, state, poll_s=60.0)
    state.live = {"a"}
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    gate.cutting = {ST1}
    state.live = {"b"}
    follow.follow(ST2, publish("b"))
    await until(lambda: len(gate.seen) == 2)
    assert gate.seen[1:] == ["attach st2 rtmp://server/live/show"]
    await follow.aclose()


async def test_who_is_let_in_while_the_server_is_silent_ends_nobody(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    state.live = {"a"}
    follow = follower(gate, state, start_s=0.05)
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    state.live = None
    follow.follow(ST2, publish("b"))
    await until(lambda: len(gate.seen) == 2)
    assert gate.seen[1:] == ["attach st2 rtmp://server/live/show"]
    state.live, state.connected = {"a"}, {"b"}
    await until(lambda: state.cuts == ["b"])
    assert gate.seen[2:] == ["ended node-media-server b live/show"], (
        "the server refused it: the name is taken"
    )
    assert state.live == {"a"}
    follow.follow(ST3, publish("c"))
    await finished(follow, ST3)
    assert not alarms(gate), "the name is still known to be the first one's"
    await follow.aclose()


async def test_what_cannot_be_watched_is_cut(gate: GatekeeperDouble, state: ConnectorDouble) -> None:
    state.live = {"a"}
    gate.failure = CapacityExceeded("full")
    follow = follower(gate, state)
    follow.follow(ST1, publish("a"))
    await until(lambda: not state.live)
    assert gate.seen[-1] == "ended node-media-server a live/show"
    assert gate.turned == [("user of a", "capacity")]
    assert state.cuts == ["a"]
    await follow.aclose()


async def test_a_stream_that_was_cut_before_it_was_live_is_cut_again(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    gate.admitted = False
    follow = follower(gate, state)
    follow.follow(ST1, publish("a"))
    state.live = {"a"}
    await until(lambda: state.cuts == ["a"])
    assert gate.seen == []
    await follow.aclose()


async def test_the_refused_are_cut_until_they_are_gone(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    state.live, state.obeys = {"a"}, False
    follow = follower(gate, state)
    follow.expel(publish("a"))
    await until(lambda: len(state.cuts) > 1)
    state.live = set()
    await until(lambda: not follow._expelled)
    await follow.aclose()


async def test_an_end_is_believed_unless_the_server_says_otherwise(
    gate: GatekeeperDouble, state: ConnectorDouble
) -> None:
    follow = follower(gate, state)
    state.live = {"a"}
    await follow.ended(publish("a"))
    assert gate.seen == []
    for state.live in (set(), None):
        await follow.ended(publish("a"))
    assert gate.seen == ["ended node-media-server a live/show"] * 2
