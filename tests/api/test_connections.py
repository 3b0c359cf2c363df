"""No stranger takes all connections of the gRPC server, and who has a call keeps its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.api import connections
from edge.api.connections import (
    ALL,
    PER_ADDRESS,
    BusyPeers,
    ConnectionBound,
    GrpcConnections,
    listeners,
    peer_of,
)
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.descriptors import accept_only_who_sends
from edge.places import network_of
from edge.telemetry.records import CallBroken
from tests.api.test_broken_calls import opening, served

PEERS = [(f"{net}.{host}", port) for net in ("192.0.2", "198.51.100") for host in (1, 2) for port in range(9)]


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("ipv4:192.0.2.1:4711", ("192.0.2.1", 4711)),
        ("ipv6:%5B2001:db8::1%5D:4711", ("2001:db8::1", 4711)),
        ("ipv6:[::1]:1", ("::1", 1)),
        ("unix:", ("", 0)),
    ],
)
def test_names_of_peers(name: str, peer: tuple[str, int]) -> None:
    assert peer_of(name) == peer


def test_a_network_that_has_too_many_loses_its_own_idle_ones_first() -> None:
    busy = BusyPeers()
    bound = ConnectionBound.of(100, 3, busy)
    here, there = [("192.0.2.7", port) for port in range(6)], ("198.51.100.1", 1)
    with busy.calling("ipv4:192.0.2.7:0"):
        assert bound.surplus(dict.fromkeys([*here[:3], there], 5)) == {}
        gone = bound.surplus(dict.fromkeys([*here[:5], there], 5))
    assert set(gone.values()) == {"idle"}
    assert len(gone) == 2
    assert here[0] not in gone, "it has a call"
    with contextlib.ExitStack() as calls:
        for _, port in here:
            calls.enter_context(busy.calling(f"ipv4:192.0.2.7:{port}"))
        left = [peer for peer in here[:5] if peer not in gone]
        assert bound.surplus(dict.fromkeys([*left, here[5], there], 5)) == {here[5]: PER_ADDRESS}
    assert bound.surplus({}) == {}
    assert bound.surplus(dict.fromkeys(here[:3], 5)) == {}


@given(st.lists(st.tuples(st.sets(st.sampled_from(PEERS)), st.sets(st.sampled_from(PEERS))), max_size=8))
def test_the_bounds_hold_whoever_comes_and_goes(looks: list[tuple[set, set]]) -> None:  # type: ignore[type-arg]
    busy = BusyPeers()
    bound = ConnectionBound.of(12, 8, busy)
    open_now: set[tuple[str, int]] = set()
    for arrived, calling in looks:
        open_now |= arrived
        with contextlib.ExitStack() as calls:
            for address, port in calling:
                calls.enter_context(busy.calling(f"ipv4:{address}:{port}"))
            gone = bound.surplus(dict.fromkeys(open_now, 5))
        assert gone.keys() <= open_now
        open_now -= gone.keys()
        assert len(open_now) <= 12
        for network in {network_of(address) for address, _ in open_now}:
            assert sum(network_of(address) == network for address, _ in open_now) <= 8
        assert set(gone.values()) <= {"idle", PER_ADDRESS, ALL}


async def test_idle_connections_give_way_and_a_watched_stream_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LOOK_S", 0.05)
    async with (
        served(tmp_path, max_grpc_connections=8) as (bench, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = gate_pb2_grpc.GateStub(channel)
        asked = gate_pb2.AdmitRequest(server="grpc", connection="1", app="live", name="n")
        stream_id = (await stub.Admit(asked)).stream_id
        call = stub.Watch()  # type: ignore[call-arg]  # it writes by itself
        await call.write(opening(stream_id))
        await bench.until(lambda: bench.gate.registry.get(stream_id).responses is not None)
        host, _, port = address.rpartition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(30)]
        for _, writer in idle:
            writer.write(b"PRI")  # who sends nothing is not even accepted
        try:
            ended = [CallBroken("idle")] * (30 + 1 - 8)
            await bench.until(lambda: len(bench.recorded.of(CallBroken)) >= len(ended))
            assert bench.recorded.of(CallBroken) == ended
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(address, options) as another:
                asked.connection = "2"
                assert (await gate_pb2_grpc.GateStub(another).Admit(asked, timeout=90)).allowed
            assert not call.done()
            assert bench.gate.registry.get(stream_id).responses is not None
        finally:
            for _, writer in idle:
                writer.close()
            call.cancel()


def test_connections_are_found_and_shut_down_where_no_descriptor_is_left() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as taken:
        stranger = taken.enter_context(socket.create_connection(listener.getsockname()))
        taken.enter_context(listener.accept()[0])
        looked = GrpcConnections(
            ConnectionBound.of(9, 9, BusyPeers()), listener.getsockname()[1], 9, lambda cause: None
        )
        most = max(map(int, os.listdir("/proc/self/fd"))) + 1
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.callback(os.close, os.dup(0))
        connected = looked._connected()
        peer = stranger.getsockname()
        assert peer in connected
        assert looked._shut_down(connected[peer], peer)
        assert stranger.recv(1) == b""


def test_a_connection_waits_in_the_kernel_until_its_peer_sends() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as early,
        contextlib.ExitStack() as strangers,
    ):
        accept_only_who_sends(listener)
        accepted, who = listener.accept()
        accepted.close()
        assert who == early.getsockname()
        for _ in range(20):
            strangers.enter_context(socket.create_connection(listener.getsockname()))
        caller = strangers.enter_context(socket.create_connection(listener.getsockname()))
        caller.sendall(b"P")
        listener.settimeout(10)
        accepted, who = listener.accept()
        accepted.close()
        assert who == caller.getsockname(), "and not one of those that came before and send nothing"


async def test_grpc_accepts_only_who_sends(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, address):
        port = int(address.rpartition(":")[2])
        waits = [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0 for each in listeners(port)]
    assert waits
    assert all(waits)
