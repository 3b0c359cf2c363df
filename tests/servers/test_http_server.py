"""HTTP callers that keep the hooks waiting: half a head, half a body, nothing, too many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.places import network_of
from edge.servers import http_server
from edge.servers.http_app import create_app
from edge.servers.http_server import HookServer

PATIENCE_S = 90
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n"
LARGE = 8_000_000


class Served:
    def __init__(self, port: int, broken: Counter[str], server: HookServer) -> None:
        self.port = port
        self.broken = broken
        self.server = server

    async def connect(self, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        await writer.drain()
        return reader, writer

    async def is_healthy(self) -> bool:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
            return (await http.get(f"http://127.0.0.1:{self.port}/healthz")).text == "ok\n"


@asynccontextmanager
async def served(
    *, request_ms: int = 300, most: int = 8, per_address: int = 8, trusted: tuple[str, ...] = ()
) -> AsyncIterator[Served]:
    async def large(request: Request) -> Response:
        return PlainTextResponse("x" * LARGE)

    async def body(request: Request) -> Response:
        return PlainTextResponse(f"{len(await request.body())} bytes")

    async def client(request: Request) -> Response:
        assert request.client is not None
        return PlainTextResponse(request.client.host)

    app: Starlette = create_app([])
    app.router.routes += [
        Route("/client", client),
        Route("/large", large),
        Route("/body", body, methods=["POST"]),
    ]
    broken: Counter[str] = Counter()
    server = HookServer(
        app,
        request_ms=request_ms,
        max_connections=most,
        max_per_address=per_address,
        broken=lambda cause: broken.update([cause]),
        trusted_proxies=trusted,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield Served(listener.getsockname()[1], broken, server)
        finally:
            server.should_exit = True
            await asyncio.wait_for(serving, PATIENCE_S)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything received until the server closed the connection."""
    try:
        return await asyncio.wait_for(reader.read(-1), PATIENCE_S)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /body HT",
        b"POST /body HTTP/1.1\r\nHost: gate\r\nX-Half: ",
        b"POST /body HTTP/1.1\r\nHost: gate\r\nContent-Length: 9\r\n\r\nhalf",
        b"POST /body HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_a_request_that_is_not_whole_in_time_is_closed(sent: bytes) -> None:
    async with served() as gate:
        reader, writer = await gate.connect(sent)
        assert await ended(reader) == b""
        writer.close()
        assert gate.broken == {"slow": 1}


async def test_a_byte_now_and_then_does_not_help() -> None:
    async with served() as gate:
        reader, writer = await gate.connect(b"POST /body HTTP/1.1\r\nHost: gate\r\nX-Slow: ")
        reading = asyncio.create_task(ended(reader))
        for _ in range(PATIENCE_S * 20):
            if reading.done():
                break
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert await reading == b""
        writer.close()
        assert gate.broken == {"slow": 1}


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with served() as gate:
        reader, writer = await gate.connect(b"GET /large HTTP/1.1\r\nHost: gate\r\n\r\n")
        await asyncio.sleep(1.0)
        assert gate.broken == {"slow": 1}
        assert len(await ended(reader)) < LARGE
        writer.close()


async def test_a_connection_may_wait_between_whole_requests() -> None:
    async with served(request_ms=5000) as gate:
        reader, writer = await gate.connect()
        for _ in range(3):
            writer.write(WHOLE)
            answer = await asyncio.wait_for(reader.readuntil(b"ok\n"), PATIENCE_S)
            assert answer.startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.1)
        writer.close()
        assert not gate.broken


async def test_idle_connections_give_way_and_health_answers() -> None:
    async with served(request_ms=60_000) as gate:
        strangers = [await gate.connect(b"POST /body HT") for _ in range(50)]
        assert await gate.is_healthy()
        assert len(gate.server.places) <= 8
        assert gate.broken["idle"] >= 42
        for _, writer in strangers:
            writer.close()


async def test_a_network_has_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "network_of", lambda address: network_of("203.0.113.7"))
    async with served(request_ms=60_000, per_address=2) as gate:
        first, _ = await gate.connect(b"POST /body HT")
        others = [await gate.connect(b"POST /body HT") for _ in range(2)]
        assert await ended(first) == b""
        assert gate.broken == {"idle": 1}
        for _, writer in others:
            writer.close()


async def test_malformed_requests_write_no_line(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as gate:
        with caplog.at_level(logging.DEBUG):
            for _ in range(5):
                reader, writer = await gate.connect(b"\x16\x03\x01 no HTTP\r\n\r\n")
                assert (await ended(reader)).startswith(b"HTTP/1.1 400")
                writer.close()
        assert gate.broken == {"malformed": 5}
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_request_that_came_with_a_crowd_of_silent_connections_is_answered() -> None:
    """All of them are accepted in one turn of the loop, before any request can be read."""
    async with served(most=8) as http:
        address = ("127.0.0.1", http.port)
        with contextlib.ExitStack() as crowd:
            asking = crowd.enter_context(socket.create_connection(address))
            asking.sendall(WHOLE)
            for _ in range(40):
                crowd.enter_context(socket.create_connection(address))
            reader, writer = await asyncio.open_connection(sock=asking.dup())
            async with asyncio.timeout(PATIENCE_S):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
        assert http.broken["idle"] > 0


@pytest.mark.parametrize(
    ("trusted", "forwarded", "seen"),
    [
        ((), "203.0.113.9", "127.0.0.1"),
        (("127.0.0.0/8",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.1", "10.0.0.0/8"), "198.51.100.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        (("10.0.0.0/8",), "203.0.113.9", "127.0.0.1"),
    ],
)
async def test_a_trusted_proxy_says_where_a_request_comes_from(
    trusted: tuple[str, ...], forwarded: str, seen: str
) -> None:
    async with served(trusted=trusted) as gate, httpx.AsyncClient(timeout=PATIENCE_S) as http:
        headers = {"x-forwarded-for": forwarded}
        assert (await http.get(f"http://127.0.0.1:{gate.port}/client", headers=headers)).text == seen
