"""The contract of every connector, against its server's API over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from edge.errors import CutFailed
from edge.servers.connector import Connector, CutTarget
from edge.servers.json_api import MAX_ANSWER_BYTES
from edge.servers.server_double import ServerDouble
from edge.supervise.cutter import Cutter

NONSENSE: tuple[tuple[str, Response | float], ...] = (
    ("unauthorised", PlainTextResponse("", 401)),
    ("broken", JSONResponse({"code": 0, "success": True, "statusCode": 200}, 500)),
    ("not found by a proxy", PlainTextResponse("404 page not found", 404)),
    ("empty", Response(b"", 200)),
    ("page", PlainTextResponse("<html>welcome</html>", 200)),
    ("array", JSONResponse([], 200)),
    ("wrong types", JSONResponse({"code": "0", "success": "true", "statusCode": "200", "data": 7}, 200)),
    ("torn", Response(b'{"code":0,"succ', 200)),
    ("nested", Response(b"[" * 200_000, 200)),
    ("elsewhere", Response(b"", 302, {"location": "http://127.0.0.1:9/"})),
    ("hangs", 60.0),
)


@pytest.fixture
def server(server: ServerDouble) -> ServerDouble:
    server.sessions = {server.ids[0]: ("live", "show"), server.ids[1]: ("live", "other")}
    return server


@pytest.fixture
async def connector(server: ServerDouble) -> AsyncIterator[Connector]:
    connector = server.connector()
    yield connector
    await closed(connector)


async def closed(connector: Any) -> None:
    await connector.aclose()


def target(connection: str, name: str = "show") -> CutTarget:
    return CutTarget("st1", "live", name, connection, "192.0.2.1")


async def test_it_says_its_kind(server: ServerDouble, connector: Connector) -> None:
    assert connector.kind == server.kind


async def test_exactly_that_connection_is_cut(server: ServerDouble, connector: Connector) -> None:
    mine, other = target(server.ids[0]), target(server.ids[1], "other")
    assert await connector.is_live(mine) is True
    attempt = await connector.cut_publisher(mine)
    assert (attempt.asked, attempt.closed) == (True, 1)
    assert set(server.sessions) == {server.ids[1]}
    assert await connector.is_live(mine) is False
    assert await connector.is_live(other) is True


async def test_another_connection_under_the_same_name_is_left_alone(
    server: ServerDouble, connector: Connector
) -> None:
    before = target(server.unknown)
    attempt = await connector.cut_publisher(before)
    assert (attempt.asked, attempt.closed) == (True, 0)
    assert await connector.is_live(before) is False
    assert len(server.sessions) == 2


async def test_who_publishes_is_told_by_the_server(server: ServerDouble, connector: Any) -> None:
    if not hasattr(connector, "publishes"):
        pytest.skip("its hooks wait for the pull, and ask for no publisher")
    publishes = connector.publishes
    assert await publishes(target(server.ids[0])) is True
    assert await publishes(target(server.unknown)) is False
    # Connected, but under another name.
    assert await publishes(target(server.ids[1])) is False
    await connector.cut_publisher(target(server.ids[0]))
    assert await publishes(target(server.ids[0])) is False


async def test_what_is_no_connection_cuts_nobody(server: ServerDouble, connector: Connector) -> None:
    for connection in ("", "../../x", "a/b?c", "x" * 300, "id with spaces", "ä"):
        assert not (await connector.cut_publisher(target(connection))).closed, connection
        assert len(server.sessions) == 2, connection


async def test_a_wrong_secret_cuts_and_concludes_nothing(server: ServerDouble) -> None:
    if not server.has_credentials:
        pytest.skip("its API asks nobody who he is")
    stranger = server.connector(secret="wrong")
    attempt = await stranger.cut_publisher(target(server.ids[0]))
    assert (attempt.asked, attempt.closed) == (False, None)
    assert attempt.detail
    assert "wrong" not in attempt.detail
    assert await stranger.is_live(target(server.ids[0])) is None
    assert len(server.sessions) == 2
    await closed(stranger)


async def test_nothing_is_concluded_from_nonsense(server: ServerDouble) -> None:
    mine = target(server.ids[0])
    for what, answer in NONSENSE:
        hasty = server.connector(timeout_s=0.3 if what == "hangs" else 5.0)
        server.always = answer
        attempt = await hasty.cut_publisher(mine)
        assert not attempt.closed, what
        # Old versions of MediaMTX accept with an empty body: the request was taken, and nothing is proven.
        assert attempt.asked == (what == "empty" and server.kind == "mediamtx"), what
        assert attempt.asked or attempt.detail, what
        assert await hasty.is_live(mine) is None, what
        assert await getattr(hasty, "publishes", hasty.is_live)(mine) is None, what
        assert len(server.sessions) == 2, what
        await closed(hasty)


async def test_a_server_that_sends_byte_by_byte_holds_up_no_cut(server: ServerDouble) -> None:
    """Each byte comes in time, and their sum never does."""

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    mine, hasty = target(server.ids[0]), server.connector(timeout_s=0.3)
    async with asyncio.timeout(90):
        for ask in (hasty.cut_publisher, hasty.is_live, getattr(hasty, "publishes", hasty.is_live)):
            server.always = StreamingResponse(drip())
            answer = await ask(mine)
            assert not getattr(answer, "closed", answer), ask
    await closed(hasty)


async def test_an_answer_over_the_bound_is_not_used_however_right_it_is(
    server: ServerDouble, connector: Any
) -> None:
    server.padding = MAX_ANSWER_BYTES
    mine = target(server.ids[0])
    assert await connector.is_live(mine) is None
    assert await getattr(connector, "publishes", connector.is_live)(mine) is None
    assert not (await connector.cut_publisher(mine)).asked


async def test_a_server_that_is_away(server: ServerDouble) -> None:
    server.url = "http://127.0.0.1:9"
    connector = server.connector()
    assert not (await connector.cut_publisher(target(server.ids[0]))).asked
    assert await connector.is_live(target(server.ids[0])) is None
    cutter = Cutter()
    outcome = await cutter.cut_stream(target(server.ids[0]), connector, limit_ms=200)
    assert not outcome.confirmed
    waiting = asyncio.create_task(cutter.wait("st1"))
    await asyncio.sleep(0)
    await cutter.close()
    with pytest.raises(CutFailed) as failure:
        await waiting
    assert failure.value.retryable
    await closed(connector)


async def test_a_cut_is_pursued_through_failures_until_it_is_proven(
    server: ServerDouble, connector: Connector
) -> None:
    server.trouble = [PlainTextResponse("", 500), PlainTextResponse("", 502), Response(b"[" * 5000)]
    cutter = Cutter()
    outcome = await cutter.cut_stream(target(server.ids[0]), connector, limit_ms=60_000)
    assert (outcome.confirmed, outcome.by) == (True, "state_api")
    assert set(server.sessions) == {server.ids[1]}
    await cutter.close()


async def test_a_kick_that_denies_a_live_connection_is_asked_again(
    server: ServerDouble, connector: Connector
) -> None:
    server.trouble = [server.no_such] * server.calls_to_find_nothing
    cutter = Cutter()
    outcome = await cutter.cut_stream(target(server.ids[0]), connector, limit_ms=60_000)
    assert (outcome.confirmed, outcome.by) == (True, "state_api")
    assert outcome.attempts >= 2
    assert set(server.sessions) == {server.ids[1]}
    await cutter.close()
