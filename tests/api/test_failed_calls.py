"""Who calls in vain waits for the answer, and its neighbours do not."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from edge.allowance import Allowance
from edge.api import connections, failed_calls
from edge.api.connections import FAILING, BusyPeers, ConnectionBound
from edge.api.failed_calls import MOST_HELD, MOST_URGENT_WAIT_MS, MOST_WAIT_MS, FailedCalls, Turnstile
from edge.clock import SystemClock
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.telemetry.records import CallBroken
from tests.api.http2 import Http2
from tests.api.test_broken_calls import opening, served

STRANGER, NEIGHBOUR = "ipv4:127.0.0.1:1", "ipv4:127.0.0.1:2"
OWN = [("grpc.use_local_subchannel_pool", 1)]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 300)), max_size=120))
def test_waits_are_bounded_and_a_neighbour_has_none(calls: list[tuple[bool, float]]) -> None:
    failed, now_ms = FailedCalls(), 0.0
    for urgent, pause_ms in calls:
        now_ms += pause_ms
        most_ms = MOST_URGENT_WAIT_MS if urgent else MOST_WAIT_MS
        assert 0.0 <= failed.failed(STRANGER, now_ms, urgent=urgent) <= most_ms
        failed.unused(STRANGER, now_ms)
        assert failed.admit_wait_ms(STRANGER, now_ms) <= MOST_URGENT_WAIT_MS
        assert failed.admit_wait_ms(NEIGHBOUR, now_ms) == 0.0
    assert failed.failed(NEIGHBOUR, now_ms, urgent=True) == 0.0
    assert failed.ended <= {("127.0.0.1", 1)}


def test_urgent_calls_do_not_end_a_connection() -> None:
    failed = FailedCalls()
    for _ in range(1000):
        failed.failed(STRANGER, 0.0, urgent=True)
    assert not failed.ended
    failed.failed(STRANGER, 0.0, urgent=False)
    assert failed.ended


def test_new_connections_of_a_network_help_a_stranger_little() -> None:
    failed = FailedCalls()
    waits = [failed.failed(f"ipv4:192.0.2.7:{port}", 0.0, urgent=False) for port in range(1, 1000)]
    assert waits[-1] == MOST_WAIT_MS
    assert failed.failed("ipv4:198.51.100.1:1", 0.0, urgent=False) == 0.0


def test_a_busy_ingest_pays_failed_calls_with_valid_ones() -> None:
    failed = FailedCalls()
    for _ in range(1000):
        failed.succeeded(NEIGHBOUR)
        assert failed.failed(NEIGHBOUR, 0.0, urgent=False) == 0.0
        failed.unused(NEIGHBOUR, 0.0)
        failed.used(NEIGHBOUR)
        assert failed.admit_wait_ms(NEIGHBOUR, 0.0) == 0.0


def test_a_network_that_owes_loses_its_connections_at_the_first_call_in_vain() -> None:
    failed = FailedCalls()
    for port in range(1, 1000):
        failed.failed(f"ipv4:192.0.2.7:{port}", 0.0, urgent=False)
    assert ("192.0.2.7", 999) in failed.ended
    assert ("192.0.2.7", 1) not in failed.ended


def test_who_gives_back_what_it_admits_is_ended_where_it_does_not_wait() -> None:
    failed = FailedCalls()
    for _ in range(128 + 99):
        failed.unused(STRANGER, 0.0)
    assert not failed.ended
    failed.unused(STRANGER, 0.0)
    assert failed.ended == {("127.0.0.1", 1)}


def test_a_local_socket_never_waits() -> None:
    failed = FailedCalls()
    for _ in range(1000):
        failed.unused("unix:", 0.0)
        assert failed.failed("unix:", 0.0, urgent=False) == 0.0
    assert failed.admit_wait_ms("unix:", 0.0) == 0.0
    assert not failed.ended


def test_a_connection_that_watches_is_not_ended() -> None:
    busy, ended = BusyPeers(), {("127.0.0.1", 1), ("127.0.0.1", 2)}
    bound = ConnectionBound.of(9, 9, busy, ended)
    with busy.calling(STRANGER):
        assert bound.surplus({("127.0.0.1", 1): 5, ("127.0.0.1", 2): 6}) == {("127.0.0.1", 2): FAILING}
    assert bound.surplus({("127.0.0.1", 1): 5}) == {}, "an old debt is not held against it"


async def test_a_connection_whose_calls_fail_is_ended_and_its_neighbours_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LOOK_S", 0.05)
    async with (
        served(tmp_path) as (bench, address),
        grpc.aio.insecure_channel(address, OWN) as hostile,
        grpc.aio.insecure_channel(address, OWN) as honest,
    ):
        codes: set[grpc.StatusCode] = set()

        async def fail() -> None:
            call = gate_pb2_grpc.GateStub(hostile).Watch()  # type: ignore[call-arg]  # it writes by itself
            with contextlib.suppress(asyncio.InvalidStateError):
                await call.write(opening("st_unknown"))
            codes.add(await call.code())

        stub = gate_pb2_grpc.GateStub(honest)
        failing = [asyncio.ensure_future(fail()) for _ in range(200)]
        await bench.until(lambda: CallBroken(FAILING) in bench.recorded.of(CallBroken))
        for number in range(20):
            asked = gate_pb2.AdmitRequest(server="s", connection=str(number), app="live", name=str(number))
            assert (await stub.Admit(asked, timeout=90)).allowed
        await asyncio.gather(*failing)
    assert codes == {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who owes anything waits for long."""
    monkeypatch.setattr(failed_calls, "MOST_WAIT_MS", math.inf)
    monkeypatch.setattr(failed_calls, "MOST_URGENT_WAIT_MS", 60_000.0)
    monkeypatch.setattr(
        failed_calls, "Allowance", lambda per_s, burst, most_ms: Allowance(per_s / 1000, burst)
    )


async def admit(channel: grpc.aio.Channel, name: str) -> gate_pb2.AdmitResponse:
    asked = gate_pb2.AdmitRequest(server="s", connection=name, app="live", name=name)
    return await gate_pb2_grpc.GateStub(channel).Admit(asked, timeout=60)


async def cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.usefixtures("slow")
async def test_admits_that_nobody_uses_wait_and_a_neighbours_do_not(tmp_path: Path) -> None:
    async with (
        served(tmp_path, max_streams_per_client=4) as (bench, address),
        grpc.aio.insecure_channel(address, OWN) as hostile,
        grpc.aio.insecure_channel(address, OWN) as honest,
    ):
        asked = [asyncio.ensure_future(admit(hostile, str(number))) for number in range(200)]
        await bench.until(lambda: sum(task.done() for task in asked) >= 128)
        for number in range(5):
            await admit(honest, f"honest{number}")
        assert any(not task.done() for task in asked), "they owe minutes"
        await cancelled(asked)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("how", ["Detach", "ReleaseStream"])
async def test_who_admits_and_gives_back_in_a_loop_waits(how: str, tmp_path: Path) -> None:
    async with (
        served(tmp_path) as (_, address),
        grpc.aio.insecure_channel(address, OWN) as hostile,
        grpc.aio.insecure_channel(address, OWN) as honest,
    ):

        async def loop(channel: grpc.aio.Channel, laps: int) -> None:
            stub: Any = gate_pb2_grpc.GateStub(channel)
            for number in range(laps):
                admitted = await admit(channel, str(number))
                over = {"stream_id": admitted.stream_id, "admission_secret": admitted.admission_secret}
                if how == "Detach":
                    await stub.Detach(gate_pb2.DetachRequest(reason="closed", **over))
                else:
                    await stub.ReleaseStream(gate_pb2.ReleaseStreamRequest(**over))

        await loop(hostile, 129)
        waiting = [asyncio.ensure_future(admit(hostile, "more"))]
        await loop(honest, 20)
        assert not waiting[0].done()
        await cancelled(waiting)


@pytest.mark.usefixtures("slow")
async def test_who_checks_health_all_the_time_waits_and_a_neighbour_does_not(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as (bench, address),
        grpc.aio.insecure_channel(address, OWN) as hostile,
        grpc.aio.insecure_channel(address, OWN) as honest,
    ):

        async def check(channel: grpc.aio.Channel) -> health_pb2.HealthCheckResponse:
            return await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

        checks = [asyncio.ensure_future(check(hostile)) for _ in range(40)]
        await bench.until(lambda: sum(task.done() for task in checks) >= 32)
        assert (await check(honest)).status == health_pb2.HealthCheckResponse.SERVING
        assert sum(task.done() for task in checks) == 32
        await cancelled(checks)


async def unary(channel: grpc.aio.Channel, method: str, request: bytes) -> None:
    with contextlib.suppress(grpc.RpcError):
        await cast("Any", channel).unary_unary(method)(request)


async def reflect(channel: grpc.aio.Channel) -> None:
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    with contextlib.suppress(grpc.RpcError):
        async for _ in cast("Any", channel).stream_stream(method)(iter([b"\x3a\x00"])):
            pass


VAIN: dict[str, Callable[[grpc.aio.Channel], Coroutine[Any, Any, None]]] = {
    "reflection": reflect,
    "no such method": lambda channel: unary(channel, "/some.Service/Call", b""),
    "no message": lambda channel: unary(channel, "/edge.gate.v1.Gate/Admit", b"\xff" * 4),
    "no message of an operator": lambda channel: unary(
        channel, "/edge.operator.v1.Operator/GetPolicy", b"\xff"
    ),
}


@pytest.mark.parametrize("kind", VAIN)
async def test_vain_calls_of_each_kind_end_their_connection(kind: str, tmp_path: Path) -> None:
    async with (
        served(tmp_path) as (bench, address),
        grpc.aio.insecure_channel(address, OWN) as hostile,
        grpc.aio.insecure_channel(address, OWN) as honest,
    ):
        calls = [asyncio.ensure_future(VAIN[kind](hostile)) for _ in range(150)]
        await bench.until(lambda: CallBroken(FAILING) in bench.recorded.of(CallBroken))
        for number in range(20):
            assert (await admit(honest, str(number))).allowed
        await cancelled(calls)


async def test_calls_that_are_begun_and_cancelled_end_their_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as (bench, address):

        def begin_and_cancel() -> None:
            with Http2(int(address.rpartition(":")[2])) as client:
                for first in range(1, 20_000, 200):
                    streams = range(first, first + 200, 2)
                    for stream in streams:
                        client.call("/edge.gate.v1.Gate/Admit", stream)
                    if client.is_closed_within(0.2):
                        return
                    for stream in streams:
                        client.cancel(stream)

        await asyncio.to_thread(begin_and_cancel)
        assert CallBroken(FAILING) in bench.recorded.of(CallBroken)


async def test_of_many_calls_that_wait_at_a_time_few_wait_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_calls, "MOST_URGENT_WAIT_MS", 1.0)
    monkeypatch.setattr(failed_calls, "MOST_WAIT_MS", 3_600_000.0)
    turnstile = Turnstile(FailedCalls(), SystemClock())
    for _ in range(1000):
        turnstile.unused(STRANGER)
    first = [asyncio.ensure_future(turnstile.hold_admit(STRANGER)) for _ in range(MOST_HELD)]
    one_more = asyncio.ensure_future(turnstile.hold_admit(STRANGER))
    async with asyncio.timeout(60):
        await asyncio.gather(*first)
        await turnstile.hold_admit(STRANGER)  # there is room again
        await turnstile.hold_admit(NEIGHBOUR)
    assert not one_more.done()
    await cancelled([one_more])
