"""The roll call finds publishers whose end nginx did not report, among those that go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from edge.domain import Publish, StreamId
from edge.servers.doubles import GatekeeperDouble
from edge.servers.nginx_rtmp.roll_call import RollCall, publishes
from edge.servers.nginx_rtmp.stat_page import StatPage
from tests.servers.conftest import until

CALLS = 6


@dataclass
class Workers:
    """The stat pages of nginx's workers, which answer in turn. Each lists its connections that publish."""

    publishing: dict[str, set[str]]
    away: bool = False
    answers: int = 0

    def stat(self, request: httpx.Request) -> httpx.Response:
        self.answers += 1
        if self.away:
            return httpx.Response(502)
        pid = list(self.publishing)[self.answers % len(self.publishing)]
        clients = "".join(f"<client><id>{one}</id><publishing/></client>" for one in self.publishing[pid])
        text = (
            f"<rtmp><pid>{pid}</pid><server><application><name>live</name><live><stream><name>show</name>"
            f"{clients}<client><id>99</id></client></stream></live></application></server></rtmp>"
        )
        return httpx.Response(200, text=text)

    def page(self) -> StatPage:
        return StatPage("http://nginx/stat", transport=httpx.MockTransport(self.stat))


def publish(connection: str) -> Publish:
    return Publish(
        server="nginx-rtmp", connection=connection, app="live", name=f"of-{connection}", broadcaster="u42"
    )


@pytest.fixture
async def roll(gate: GatekeeperDouble, workers: Workers) -> AsyncIterator[RollCall]:
    roll = RollCall(gate, workers.page(), pause_s=0.005)
    yield roll
    gate.admitted = False  # The task ends with the last stream.
    await until(lambda: roll._task is None or roll._task.done())


@pytest.fixture
def workers() -> Workers:
    return Workers({"one": {"7", "8"}})


async def more_calls(workers: Workers) -> None:
    before = workers.answers
    await until(lambda: workers.answers > before + CALLS)


async def test_who_is_gone_from_its_own_worker_has_ended(
    gate: GatekeeperDouble, workers: Workers, roll: RollCall
) -> None:
    for connection in ("7", "8"):
        roll.add_stream(StreamId(f"st{connection}"), publish(connection))
    await more_calls(workers)
    assert gate.seen == []
    workers.publishing["one"].discard("7")
    await until(lambda: bool(gate.seen))
    await more_calls(workers)
    assert gate.seen == ["ended nginx-rtmp 7 live/of-7"]


async def test_a_worker_elsewhere_that_was_never_seen_to_have_it_proves_nothing(
    gate: GatekeeperDouble, workers: Workers, roll: RollCall
) -> None:
    roll.add_stream(StreamId("st5"), publish("5"))
    await more_calls(workers)
    assert gate.seen == []


async def test_who_was_never_seen_has_ended_when_every_worker_of_this_machine_says_so(
    gate: GatekeeperDouble, workers: Workers, roll: RollCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.servers.nginx_rtmp.roll_call.worker_count", lambda pid: len(workers.publishing))
    workers.publishing["two"] = {"5"}
    for connection in ("5", "6"):
        roll.add_stream(StreamId(f"st{connection}"), publish(connection))
    await until(lambda: bool(gate.seen))
    await more_calls(workers)
    assert gate.seen == ["ended nginx-rtmp 6 live/of-6"]


async def test_who_nginx_has_said_to_be_gone_is_not_asked_for(
    gate: GatekeeperDouble, workers: Workers, roll: RollCall
) -> None:
    for connection in ("7", "8"):
        roll.add_stream(StreamId(f"st{connection}"), publish(connection))
    await more_calls(workers)
    roll.remove("7")
    workers.publishing["one"].discard("7")
    await more_calls(workers)
    assert gate.seen == []


async def test_nothing_is_concluded_from_an_nginx_that_is_away(
    gate: GatekeeperDouble, workers: Workers, roll: RollCall
) -> None:
    roll.add_stream(StreamId("st7"), publish("7"))
    await more_calls(workers)
    workers.away = True
    await more_calls(workers)
    assert gate.seen == []


async def test_it_stops_asking_with_the_last_stream_and_begins_again(
    gate: GatekeeperDouble, workers: Workers, roll: RollCall
) -> None:
    roll.add_stream(StreamId("st7"), publish("7"))
    await more_calls(workers)
    gate.admitted = False
    await until(lambda: roll._task is not None and roll._task.done())
    answers = workers.answers
    await asyncio.sleep(0.03)
    assert workers.answers == answers
    gate.admitted = True
    roll.add_stream(StreamId("st8"), publish("8"))
    await more_calls(workers)


async def test_each_worker_of_this_machine_is_asked_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers({"one": {"7"}, "two": {"8"}})
    page = workers.page()
    running, stat = await publishes(page, "8")
    assert running
    assert stat is not None
    assert stat.pid == "two"
    assert not (await publishes(page, "8"))[0], "one answer, of the other worker"
    monkeypatch.setattr("edge.servers.nginx_rtmp.roll_call.worker_count", lambda pid: 2)
    assert (await publishes(page, "7"))[0]
    assert (await publishes(page, "8"))[0]
    assert not (await publishes(page, "9"))[0]
    assert (await publishes(StatPage("http://127.0.0.1:9/stat"), "7")) == (False, None)
