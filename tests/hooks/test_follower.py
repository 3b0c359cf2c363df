"""A publish from admission to its end, at a server whose state the tests decide."""

from __future__ import annotations

import pytest

from edge.domain import Publish, StreamId
from edge.errors import CapacityExceeded
from edge.hooks.follower import Follower
from tests.hooks.conftest import RecordingGate, ServerState, until

ST1, ST2 = StreamId("st1"), StreamId("st2")


def publish(connection: str) -> Publish:
    return Publish("node-media-server", connection, "live", "show", f"user of {connection}")


def follower(gate: RecordingGate, state: ServerState, start_s: float = 30.0) -> Follower:
    return Follower(gate, state, "rtmp://server/{app}/{name}", start_s=start_s, poll_s=0.01)


async def test_the_pull_starts_when_the_publish_is_live(gate: RecordingGate, state: ServerState) -> None:
    follow = follower(gate, state)
    follow.follow(ST1, publish("a"))
    follow.follow(ST1, publish("a"))
    state.live = {"a"}
    await until(lambda: bool(gate.seen))
    assert gate.seen == ["attach st1 rtmp://server/live/show"]
    await follow.aclose()


async def test_the_end_is_seen_in_the_state(gate: RecordingGate, state: ServerState) -> None:
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
    gate: RecordingGate, state: ServerState, live: set[str]
) -> None:
    state.live = live
    follow = follower(gate, state, start_s=0.05)
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    assert gate.seen == ["ended node-media-server a live/show"]
    await follow.aclose()


async def test_a_server_that_cannot_tell_is_watched_by_name(gate: RecordingGate, state: ServerState) -> None:
    state.live = None
    follow = follower(gate, state, start_s=0.0)
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    assert gate.seen == ["attach st1 rtmp://server/live/show"]
    await follow.aclose()


async def test_a_new_publisher_of_a_name_ends_the_one_before(gate: RecordingGate, state: ServerState) -> None:
    follow = Follower(gate, state, "rtmp://server/{app}/{name}", poll_s=60.0)
    state.live = {"a"}
    follow.follow(ST1, publish("a"))
    await until(lambda: bool(gate.seen))
    state.live = {"b"}
    follow.follow(ST2, publish("b"))
    await until(lambda: len(gate.seen) == 3)
    assert gate.seen[1:] == ["ended node-media-server a live/show", "attach st2 rtmp://server/live/show"]
    await follow.aclose()


async def test_what_cannot_be_watched_is_cut(gate: RecordingGate, state: ServerState) -> None:
    state.live = {"a"}
    gate.failure = CapacityExceeded("full")
    follow = follower(gate, state)
    follow.follow(ST1, publish("a"))
    await until(lambda: not state.live)
    assert gate.seen[-1] == "ended node-media-server a live/show"
    assert state.cuts == ["a"]
    await follow.aclose()


async def test_a_stream_that_was_cut_before_it_was_live_is_cut_again(
    gate: RecordingGate, state: ServerState
) -> None:
    gate.admitted = False
    follow = follower(gate, state)
    follow.follow(ST1, publish("a"))
    state.live = {"a"}
    await until(lambda: state.cuts == ["a"])
    assert gate.seen == []
    await follow.aclose()


async def test_the_refused_are_cut_until_they_are_gone(gate: RecordingGate, state: ServerState) -> None:
    state.live, state.obeys = {"a"}, False
    follow = follower(gate, state)
    follow.expel(publish("a"))
    await until(lambda: len(state.cuts) > 1)
    state.live = set()
    await until(lambda: not follow._expelled)
    await follow.aclose()


async def test_an_end_is_believed_unless_the_server_says_otherwise(
    gate: RecordingGate, state: ServerState
) -> None:
    follow = follower(gate, state)
    state.live = {"a"}
    await follow.ended(publish("a"))
    assert gate.seen == []
    for state.live in (set(), None):
        await follow.ended(publish("a"))
    assert gate.seen == ["ended node-media-server a live/show"] * 2
