"""Who calls in vain waits for the answer, and its neighbours do not."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.api import connections, failed_calls
from edge.api.connections import FAILING, BusyPeers, ConnectionBound
from edge.api.failed_calls import MOST_URGENT_WAIT_MS, MOST_WAIT_MS, FailedCalls
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.telemetry.records import CallBroken
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
        failed.crowded(STRANGER, now_ms)
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
        failed.crowded(NEIGHBOUR, 0.0)
        failed.used(NEIGHBOUR)
        assert failed.admit_wait_ms(NEIGHBOUR, 0.0) == 0.0


def test_a_local_socket_never_waits() -> None:
    failed = FailedCalls()
    for _ in range(1000):
        failed.crowded("unix:", 0.0)
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
            assert (await stub.Admit(asked, timeout=20)).allowed
        await asyncio.gather(*failing)
    assert codes == {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE}


async def test_admits_that_nobody_uses_wait_and_a_neighbours_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_calls, "MOST_URGENT_WAIT_MS", 60_000.0)
    async with (
        served(tmp_path, max_streams_per_client=4) as (_, address),
        grpc.aio.insecure_channel(address, OWN) as hostile,
        grpc.aio.insecure_channel(address, OWN) as honest,
    ):

        async def admit(channel: grpc.aio.Channel, name: str) -> gate_pb2.AdmitResponse:
            asked = gate_pb2.AdmitRequest(server="s", connection=name, app="live", name=name)
            return await gate_pb2_grpc.GateStub(channel).Admit(asked, timeout=60)

        await asyncio.gather(*(admit(hostile, f"first{number}") for number in range(400)))
        waiting = [asyncio.ensure_future(admit(hostile, f"then{number}")) for number in range(20)]
        for number in range(5):
            await admit(honest, f"honest{number}")
        assert not any(task.done() for task in waiting), "they owe a minute"
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
