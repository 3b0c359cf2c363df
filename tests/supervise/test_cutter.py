"""The cutter against connectors that behave as badly as real servers can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from edge.errors import CutFailed, NotFound
from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.grpc_caller import CallerConnector
from edge.supervise.cutter import Cutter

TARGET = CutTarget("st1", "live", "show", "7")
LONG_MS = 30_000.0


@dataclass
class ServerInMemory:
    """A connector whose server lets go after ``needs`` requests. Nobody can read its state while it is
    ``blind``."""

    needs: int = 1
    blind: bool = False
    live: bool = True
    kind: str = "memory"
    asked: list[CutTarget] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        self.asked.append(target)
        if self.fails:
            raise self.fails.pop()
        if not self.live or len(self.asked) < self.needs:
            return CutAttempt(True, 0)
        self.live = False
        return CutAttempt(True, 1)

    async def is_live(self, target: CutTarget) -> bool | None:
        return None if self.blind else self.live


@pytest.fixture
async def cutter() -> AsyncIterator[Cutter]:
    cutter = Cutter(spread=lambda: 0.0)
    yield cutter
    await cutter.close()


async def asked(server: ServerInMemory, times: int) -> None:
    while len(server.asked) < times:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def test_proven_by_the_state_api(cutter: Cutter) -> None:
    server = ServerInMemory()
    outcome = await cutter.cut_stream(TARGET, server, limit_ms=LONG_MS)
    assert (outcome.confirmed, outcome.by, outcome.attempts) == (True, "state_api", 1)
    assert server.asked == [TARGET]


async def test_retried_until_the_server_lets_go(cutter: Cutter) -> None:
    server = ServerInMemory(needs=4)
    outcome = await cutter.cut_stream(TARGET, server, limit_ms=LONG_MS)
    assert (outcome.confirmed, outcome.by, outcome.attempts) == (True, "state_api", 4)


async def test_gone_before_the_cut(cutter: Cutter) -> None:
    outcome = await cutter.cut_stream(TARGET, ServerInMemory(live=False), limit_ms=LONG_MS)
    assert (outcome.confirmed, outcome.by) == (True, "already_gone")


async def test_a_publisher_that_appears_only_after_the_cut_was_asked(cutter: Cutter) -> None:
    """The subject is blocked while its publish is being answered. A publisher that is not there yet is not
    gone."""
    server = ServerInMemory(live=False)
    cut = asyncio.create_task(cutter.cut_stream(TARGET, server, limit_ms=LONG_MS))
    await asked(server, 2)
    server.live = True
    outcome = await cut
    assert (outcome.confirmed, outcome.by) == (True, "state_api")
    assert not server.live


@pytest.mark.parametrize("by", ["hook", "confirm_cut"])
async def test_proven_by_somebody_who_saw_it(cutter: Cutter, by: str) -> None:
    server = ServerInMemory(blind=True)
    cut = asyncio.create_task(cutter.cut_stream(TARGET, server, limit_ms=LONG_MS))
    await asked(server, 1)
    assert cutter.confirm("st1", by)
    outcome = await cut
    assert (outcome.confirmed, outcome.by) == (True, by)
    assert not cutter.confirm("st1", by)


async def test_a_confirmation_ahead_of_its_cut_is_not_lost(cutter: Cutter) -> None:
    server = ServerInMemory(blind=True)
    assert not cutter.confirm("st1", "hook")
    outcome = await cutter.cut_stream(TARGET, server, limit_ms=LONG_MS)
    assert (outcome.confirmed, outcome.by, outcome.attempts) == (True, "hook", 0)
    assert not server.asked


async def test_several_causes_are_one_cut(cutter: Cutter) -> None:
    server = ServerInMemory(needs=3)
    outcomes = await asyncio.gather(*(cutter.cut_stream(TARGET, server, limit_ms=LONG_MS) for _ in range(5)))
    assert len(set(outcomes)) == 1
    assert len(server.asked) == 3
    assert await cutter.cut_stream(TARGET, server, limit_ms=LONG_MS) == outcomes[0]


async def test_one_cause_that_is_cancelled_does_not_stop_the_cut(cutter: Cutter) -> None:
    server = ServerInMemory(needs=3)
    first = asyncio.create_task(cutter.cut_stream(TARGET, server, limit_ms=LONG_MS))
    await asked(server, 1)
    first.cancel()
    assert (await cutter.wait("st1")).confirmed


async def test_streams_are_cut_apart(cutter: Cutter) -> None:
    one, other = ServerInMemory(blind=True), ServerInMemory(blind=True)
    cuts = [
        asyncio.create_task(cutter.cut_stream(CutTarget(ident, "live", ident, "7"), server, limit_ms=LONG_MS))
        for ident, server in (("st1", one), ("st2", other))
    ]
    await asked(one, 1)
    await asked(other, 1)
    cutter.confirm("st2", "hook")
    assert (await cuts[1]).by == "hook"
    assert not cuts[0].done()
    cutter.confirm("st1", "confirm_cut")
    assert (await cuts[0]).by == "confirm_cut"


async def test_past_its_limit_it_is_reported_and_goes_on(cutter: Cutter) -> None:
    server = ServerInMemory(needs=3)
    outcome = await cutter.cut_stream(TARGET, server, limit_ms=0)
    assert (outcome.confirmed, outcome.by) == (False, "")
    proven = await cutter.wait("st1")
    assert (proven.confirmed, proven.by, proven.attempts) == (True, "state_api", 3)
    assert await cutter.wait("st1") == proven


async def test_a_connector_that_raises_is_asked_again(cutter: Cutter) -> None:
    server = ServerInMemory(fails=[RuntimeError("broken"), OSError("away")])
    outcome = await cutter.cut_stream(TARGET, server, limit_ms=LONG_MS)
    assert (outcome.by, outcome.attempts) == ("state_api", 3)


async def test_a_lost_answer_that_worked_is_not_called_already_gone(cutter: Cutter) -> None:
    class LosesAnswers(ServerInMemory):
        async def cut_publisher(self, target: CutTarget) -> CutAttempt:
            await super().cut_publisher(target)
            return CutAttempt(False, None, "timed out")

    assert (await cutter.cut_stream(TARGET, LosesAnswers(), limit_ms=LONG_MS)).by == "state_api"


async def test_wait_for_a_stream_that_was_never_cut(cutter: Cutter) -> None:
    with pytest.raises(NotFound, match="no cut with id 'st9'"):
        await cutter.wait("st9")


async def test_closing_tells_everybody_and_stops_asking() -> None:
    cutter = Cutter(spread=lambda: 0.0)
    server = ServerInMemory(blind=True)
    cut = asyncio.create_task(cutter.cut_stream(TARGET, server, limit_ms=LONG_MS))
    await asked(server, 1)
    wait = asyncio.create_task(cutter.wait("st1"))
    await asyncio.sleep(0)
    await cutter.close()
    for waiting in (cut, wait):
        with pytest.raises(CutFailed):
            await waiting
    before = len(server.asked)
    await asyncio.sleep(0.1)
    assert len(server.asked) == before


async def test_the_caller_is_asked_and_only_the_caller_confirms(cutter: Cutter) -> None:
    reachable = {"st1": True}
    asked_for: list[str] = []

    async def ask(stream_id: str) -> bool:
        asked_for.append(stream_id)
        return reachable[stream_id]

    connector = CallerConnector(ask)
    assert await connector.cut_publisher(TARGET) == CutAttempt(True, None)
    assert await connector.is_live(TARGET) is None
    reachable["st1"] = False
    assert not (await connector.cut_publisher(TARGET)).asked
    assert not (await cutter.cut_stream(TARGET, connector, limit_ms=0)).confirmed
    cutter.confirm("st1", "confirm_cut")
    assert (await cutter.wait("st1")).by == "confirm_cut"
    assert set(asked_for) == {"st1"}
