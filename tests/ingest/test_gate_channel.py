"""Each option of the channel to the gate has its effect: gRPC ignores those that it does not know."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest

from edge.ingest.gate_channel import channel_options
from tests.api.http2 import ACK, PING, PREFACE, SETTINGS

PATIENCE_S = 90.0
HOUR = 3_600_000
HOLD = "/test.Test/Hold"


class Silent:
    """An HTTP/2 server that answers no call, and pings only if ``answers``."""

    def __init__(self, *, greets: bool = True, answers: bool = True) -> None:
        self._greets, self._answers = greets, answers
        self.connections = 0
        self.pings = 0
        self.ended = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if self._greets:
                await self._talk(reader, writer)
            else:
                await reader.read()
        self.ended += 1
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(3) + bytes([SETTINGS]) + bytes(5))
        await reader.readexactly(len(PREFACE))
        while True:
            head = await reader.readexactly(9)
            body = await reader.readexactly(int.from_bytes(head[:3]))
            kind, flags = head[3], head[4]
            if kind == SETTINGS and not flags & ACK:
                writer.write(bytes(3) + bytes([SETTINGS, ACK]) + bytes(4))
            elif kind == PING and not flags & ACK:
                self.pings += 1
                if self._answers:
                    writer.write(head[:4] + bytes([ACK]) + bytes(4) + body)

    async def until(self, field: str, count: int) -> None:
        for _ in range(int(PATIENCE_S / 0.02)):
            if getattr(self, field) >= count:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{field}: {getattr(self, field)}")


@asynccontextmanager
async def calling(address: str, options: list[tuple[str, int]]) -> AsyncIterator[None]:
    """A call that the server does not answer."""
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        opening = cast("Any", channel).stream_stream(HOLD)
        call = opening(wait_for_ready=True)
        reading = asyncio.ensure_future(call.read())
        try:
            yield
        finally:
            call.cancel()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_a_gate_that_is_silent_is_pinged_for_as_long_as_a_publisher_pauses() -> None:
    """gRPC would stop after two pings without data."""
    server = Silent()
    async with server.serving() as address, calling(address, channel_options(ping_ms=50)):
        await server.until("pings", 4)


async def test_a_gate_that_answers_no_ping_is_left() -> None:
    server = Silent(answers=False)
    options = channel_options(ping_ms=50, ping_timeout_ms=100)
    async with server.serving() as address, calling(address, options):
        await server.until("ended", 1)


async def test_a_gate_that_does_not_greet_is_tried_again_at_once() -> None:
    """gRPC would give each attempt 20 s, and pause longer after each."""
    server = Silent(greets=False)
    options = channel_options(retry_ms=50, most_retry_ms=100)
    async with server.serving() as address, calling(address, options):
        await server.until("connections", 12)


async def test_an_answer_may_be_large() -> None:
    async def large(request: bytes, context: Any) -> bytes:
        return bytes(5_000_000)

    server = grpc.aio.server()
    methods = {"Large": grpc.unary_unary_rpc_method_handler(large)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=channel_options()) as channel:
            ask = cast("Any", channel).unary_unary("/test.Test/Large")
            assert len(await ask(b"")) == 5_000_000
    finally:
        await server.stop(0)


def test_no_option_is_left_out_here() -> None:
    assert {name for name, _ in channel_options()} == {
        "grpc.max_receive_message_length",
        "grpc.initial_reconnect_backoff_ms",
        "grpc.min_reconnect_backoff_ms",
        "grpc.max_reconnect_backoff_ms",
        "grpc.keepalive_time_ms",
        "grpc.http2.ping_timeout_ms",
        "grpc.http2.max_pings_without_data",
    }


@pytest.mark.parametrize("changed", [{"retry_ms": HOUR}, {"most_retry_ms": HOUR, "retry_ms": HOUR}])
async def test_a_long_pause_is_kept(changed: dict[str, int]) -> None:
    server = Silent(greets=False)
    async with server.serving() as address, calling(address, channel_options(**changed)):
        await server.until("connections", 1)
        await asyncio.sleep(0.5)
        assert server.connections == 1
