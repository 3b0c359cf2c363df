"""Each option of the gRPC server has its effect: gRPC ignores those that it does not know without a word.

A test of a time takes a short one, and lets the opposite take an hour: it asserts which happens, not when.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
import trustme

from edge.api.grpc_options import ServerTimes, server_options
from edge.config import LimitsSection
from edge.ingest.gate_channel import channel_options
from tests.api.http2 import (
    ACK,
    GOAWAY,
    MAX_CONCURRENT_STREAMS,
    PING,
    SETTINGS,
    TOO_MANY_PINGS,
    Http2,
    settings_of,
)

HOUR = 3_600_000
PATIENCE_S = 90.0
LONG = ServerTimes(
    keepalive_ms=HOUR,
    ping_timeout_ms=HOUR,
    handshake_ms=HOUR,
    idle_ms=HOUR,
    least_ping_ms=HOUR,
)
LIMITS = LimitsSection(max_streams=5, max_access_unit_bytes=1024, max_grpc_connections=1)
HOLD, ECHO = "/test.Test/Hold", "/test.Test/Echo"


def times(**changed: int) -> ServerTimes:
    values = {name: getattr(LONG, name) for name in LONG.__dataclass_fields__}
    return ServerTimes(**{**values, **changed})


@asynccontextmanager
async def serving(
    changed: ServerTimes = LONG, tls: grpc.ServerCredentials | None = None, **options: int
) -> AsyncIterator[int]:
    """A server with the gate's options, and some of them otherwise. Yields its port."""

    async def hold(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    given = dict(server_options(LIMITS, 1.0, changed)) | {
        f"grpc.{name}": value for name, value in options.items()
    }
    server = grpc.aio.server(options=list(given.items()))
    methods = {
        "Hold": grpc.unary_unary_rpc_method_handler(hold),
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", methods),))
    where = "127.0.0.1:0"
    port = server.add_insecure_port(where) if tls is None else server.add_secure_port(where, tls)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def seen(look: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(look)


async def test_calls_of_a_connection_are_bounded() -> None:
    async with serving() as port:

        def look() -> int:
            with Http2(port) as client:
                frame = client.first(SETTINGS, 0)
                assert frame is not None
                return settings_of(frame)[MAX_CONCURRENT_STREAMS]

        assert await seen(look) == LIMITS.max_streams + 64


async def test_no_call_is_cancelled_while_the_event_loop_is_busy() -> None:
    async def answered(busy_s: float, **options: int) -> set[grpc.StatusCode]:
        async with serving(LONG, None, **options) as port:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                await seen(lambda: grpc.channel_ready_future(channel).result(20))
                calls = [channel.unary_unary(ECHO, None, None).future(b"") for _ in range(40)]
                until = time.monotonic() + busy_s
                while time.monotonic() < until and not any(call.done() for call in calls):
                    time.sleep(0.01)  # noqa: ASYNC251  # the loop is busy
                return {await asyncio.to_thread(call.code) for call in calls}

    few = {"server.max_pending_requests": 1, "server.max_pending_requests_hard_limit": 1}
    assert await answered(0.5) == {grpc.StatusCode.OK}
    assert await answered(PATIENCE_S, **few) > {grpc.StatusCode.OK}


async def test_a_message_is_bounded() -> None:
    async with serving() as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        most = dict(server_options(LIMITS, 1.0))["grpc.max_receive_message_length"]
        echo = cast("Any", channel).unary_unary(ECHO)
        assert len(await echo(bytes(most))) == most
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await echo(bytes(most + 1))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_no_second_server_takes_the_port() -> None:
    async with serving() as port:
        other = grpc.aio.server(options=server_options(LIMITS, 1.0))
        with pytest.raises(RuntimeError):
            other.add_insecure_port(f"127.0.0.1:{port}")
        await other.stop(0)


async def test_connections_are_bounded() -> None:
    async with serving() as port:
        most = dict(server_options(LIMITS, 1.0))["grpc.max_allowed_incoming_connections"]

        def look() -> list[bool]:
            clients = [Http2(port) for _ in range(most + 1)]
            answered = [client.first(SETTINGS, 0) is not None for client in clients]
            for client in clients:
                client.__exit__(None, None, None)
            return answered

        assert await seen(look) == [True] * most + [False]


async def test_a_handshake_ends() -> None:
    async with serving(times(handshake_ms=200)) as port:
        assert await seen(lambda: Http2(port, greets=False).is_closed_by_the_server())


@pytest.mark.parametrize("sent", ["a byte", "a part", "all"])
async def test_a_tls_handshake_that_is_begun_ends(sent: str) -> None:
    """What the client sends first, as far as it goes. It answers nothing."""
    own = trustme.CA().issue_cert("localhost")
    pem = own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(
            ssl.MemoryBIO(), out, server_hostname="localhost"
        ).do_handshake()
    hello = out.read()
    hello = {"a byte": hello[:1], "a part": hello[:50], "all": hello}[sent]

    def closed(port: int) -> bool:
        with socket.create_connection(("localhost", port), 20) as client:
            client.sendall(hello)
            with contextlib.suppress(ConnectionError):
                while client.recv(65536):
                    pass
            return True

    async with serving(times(handshake_ms=200), grpc.ssl_server_credentials([pem])) as port:
        assert await seen(lambda: closed(port))


async def test_a_connection_without_a_call_ends() -> None:
    async with serving(times(idle_ms=200)) as port:

        def look() -> Any:
            with Http2(port) as client:
                return client.first(GOAWAY)

        assert await seen(look) is not None


@pytest.mark.parametrize("permitted", [True, False])
async def test_silent_connections_are_pinged_also_without_a_call(permitted: bool) -> None:
    async with serving(times(keepalive_ms=100), keepalive_permit_without_calls=int(permitted)) as port:

        def look() -> bool:
            with Http2(port) as client:
                return any(frame.kind == PING for frame in client.frames(20.0 if permitted else 1.0))

        def first_ping() -> bool:
            with Http2(port) as client:
                return client.first(PING, 0) is not None

        assert await seen(first_ping if permitted else look) == permitted


async def test_a_ping_that_nobody_answers_ends_the_connection() -> None:
    async with serving(times(keepalive_ms=100, ping_timeout_ms=200)) as port:
        assert await seen(lambda: Http2(port, answers_pings=False).is_closed_by_the_server())


@pytest.mark.parametrize("calling", [True, False])
@pytest.mark.parametrize(("least_ms", "stays"), [(20, True), (HOUR, False)])
async def test_pings_of_a_pausing_publisher_are_answered(calling: bool, least_ms: int, stays: bool) -> None:
    """An ingest whose publisher pauses pings every ten seconds, and sends nothing else."""
    async with serving(times(least_ping_ms=least_ms)) as port:

        def look() -> tuple[int, int]:
            """The number of pings that are answered, and the error that ends the connection."""
            answered = 0
            with Http2(port) as client:
                if calling:
                    client.call(HOLD)
                for number in range(12):
                    time.sleep(0.05)
                    client.ping(number)
                    for frame in client.frames():
                        if frame.kind == GOAWAY:
                            return answered, frame.error
                        if frame.kind == PING and frame.flags & ACK:
                            answered += 1
                            break
            return answered, 0

        answered, error = await seen(look)
        assert (answered, error) == (12, 0) if stays else error == TOO_MANY_PINGS


def test_the_gate_takes_the_pings_of_its_own_ingest() -> None:
    options = dict(channel_options())
    assert 2 * ServerTimes().least_ping_ms <= options["grpc.keepalive_time_ms"]


def test_no_option_is_left_out_here() -> None:
    assert {name for name, _ in server_options(LIMITS, 1.0)} == {
        "grpc.max_receive_message_length",
        "grpc.max_concurrent_streams",
        "grpc.server.max_pending_requests",
        "grpc.server.max_pending_requests_hard_limit",
        "grpc.so_reuseport",
        "grpc.keepalive_time_ms",
        "grpc.http2.ping_timeout_ms",
        "grpc.keepalive_permit_without_calls",
        "grpc.server_handshake_timeout_ms",
        "grpc.max_connection_idle_ms",
        "grpc.max_allowed_incoming_connections",
        "grpc.http2.min_ping_interval_without_data_ms",
    }
