"""Strangers whose calls are in vain, or who come again and again, cannot connect for a while."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from edge.api import connections, doorkeeper
from edge.api import strangers as strangers_module
from edge.api.connections import FAILING, SHUT_OUT
from edge.api.door import MOST, shut_to
from edge.api.doorkeeper import Doorkeeper, passive_opens
from edge.api.failed_calls import FailedCalls
from edge.api.strangers import SHUT_MS, Strangers, door_key
from edge.clock import ManualClock
from edge.telemetry.records import CallBroken
from tests.api.http2 import Http2
from tests.api.test_broken_calls import served

OTHER, OTHER_6 = "127.0.0.2", "2001:db8::7"


@contextlib.contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::") as listener:
        yield listener


def gets_in(listener: socket.socket, source: str) -> bool:
    """Whether a connection from there is taken. Where it is not, the kernel says nothing: it times out."""
    target = "::1" if ":" in source else "127.0.0.1"
    with contextlib.suppress(TimeoutError):
        address = target, listener.getsockname()[1]
        with socket.create_connection(address, 0.3, source_address=(source, 0)):
            return True
    return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_a_door_is_shut_to_whom_it_names_and_opened_again(host: str) -> None:
    with listening(host) as listener:
        assert gets_in(listener, OTHER)
        shut_to(listener, [OTHER_6, "192.0.2.1", OTHER])
        assert not gets_in(listener, OTHER)
        assert gets_in(listener, "127.0.0.3")
        shut_to(listener, [])
        assert gets_in(listener, OTHER)


def test_a_door_is_shut_to_a_network_of_ipv6() -> None:
    with listening("::") as listener:
        assert gets_in(listener, "::1")
        shut_to(listener, ["::"])
        assert not gets_in(listener, "::1")
        assert gets_in(listener, OTHER)


def test_who_is_in_goes_on() -> None:
    with listening() as listener, socket.socket() as early:
        early.bind((OTHER, 0))
        early.connect(listener.getsockname())
        with listener.accept()[0] as accepted:
            shut_to(listener, [OTHER])
            early.sendall(b"on")
            accepted.settimeout(10)
            assert accepted.recv(2) == b"on"


@pytest.mark.parametrize("address", ["198.51.{}.{}", "2001:db8:{:x}:{:x}::1"])
def test_the_kernel_takes_as_many_as_there_may_be(address: str) -> None:
    with listening() as listener:
        shut_to(listener, [address.format(number // 200, number % 200) for number in range(MOST)])
        assert gets_in(listener, OTHER)


def test_keys_of_doors() -> None:
    assert door_key("127.0.0.1") is None
    assert door_key("::1") is None
    assert door_key("") is None
    assert door_key("198.51.100.7") == door_key("::ffff:198.51.100.7") == "198.51.100.7"
    assert door_key("2001:db8::7") == door_key("2001:db8::8") == "2001:db8::"


def test_who_makes_calls_in_vain_is_shut_out_for_a_minute() -> None:
    failed = FailedCalls()
    for _ in range(100):
        failed.failed("ipv4:198.51.100.7:5", 1.0, urgent=False)
    assert failed.strangers.shut_out(SHUT_MS) == {"198.51.100.7"}
    assert failed.strangers.shut_out(SHUT_MS + 1.0) == frozenset()


@pytest.mark.parametrize("late", [False, True])
def test_who_has_signed_in_is_never_shut_out(late: bool) -> None:
    failed, peer = FailedCalls(), "ipv4:198.51.100.7:5"
    if not late:
        failed.signed_in(peer)
    for _ in range(1000):
        failed.failed(peer, 1.0, urgent=False)
        failed.strangers.arrived("198.51.100.7", 1.0)
    if late:
        failed.succeeded(peer)
    assert failed.strangers.shut_out(2.0) == frozenset()


def test_who_comes_again_and_again_is_shut_out_and_a_restarted_fleet_is_not() -> None:
    strangers = Strangers()
    for _ in range(1000):
        strangers.arrived("127.0.0.1", 0.0)
        strangers.arrived("2001:db8::7", 0.0)
    for number in range(30):
        strangers.arrived("198.51.100.7", number)
    for second in range(1000):
        strangers.arrived("198.51.100.8", second * 1000.0)
    assert strangers.shut_out(0.0) == {"2001:db8::"}


@given(st.lists(st.tuples(st.integers(0, 600), st.floats(0, 90_000), st.booleans()), max_size=400))
def test_as_many_as_the_kernel_takes_are_shut_out(came: list[tuple[int, float, bool]]) -> None:
    strangers, known, now_ms = Strangers(), set(), 0.0
    for number, pause_ms, signed_in in came:
        now_ms += pause_ms / 100
        address = f"198.51.{number // 250}.{number % 250}"
        if signed_in:
            strangers.served(address)
            known.add(address)
        else:
            strangers.in_vain(address, now_ms)
        assert len(strangers.shut_out(now_ms)) <= MOST
        assert not strangers.shut_out(now_ms) & known
    assert strangers.shut_out(now_ms + SHUT_MS) == frozenset()


@pytest.fixture
def no_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Addresses of this machine are strangers' like all others."""
    monkeypatch.setattr(strangers_module, "network_of", lambda address: address)
    strangers_module.door_key.cache_clear()
    yield
    strangers_module.door_key.cache_clear()


@pytest.mark.usefixtures("no_loopback")
def test_the_doorkeeper_shuts_the_door_of_its_port_and_opens_it() -> None:
    clock, strangers = ManualClock(), Strangers()
    with listening() as listener, listening() as another:
        keeper = Doorkeeper(listener.getsockname()[1], strangers, clock)
        for port in range(1, 32):
            assert keeper.look([(OTHER, port), (OTHER, port + 1)]) == []
        here = [(OTHER, 99), ("127.0.0.3", 5)]
        assert keeper.look(here) == here[:1]
        assert not gets_in(listener, OTHER)
        assert gets_in(listener, "127.0.0.3")
        assert gets_in(another, OTHER)
        clock.now_monotonic_ms += SHUT_MS
        assert keeper.look([]) == []
        assert gets_in(listener, OTHER)


def test_where_the_kernel_takes_no_filter_it_is_said_once_and_connections_still_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(listener: socket.socket, addresses: object) -> None:
        raise OSError(1, "not here")

    monkeypatch.setattr(doorkeeper, "shut_to", refuse)
    strangers = Strangers()
    with listening() as listener, structlog.testing.capture_logs() as logs:
        keeper = Doorkeeper(listener.getsockname()[1], strangers, ManualClock())
        for host in (7, 8):
            strangers.in_vain(f"198.51.100.{host}", 0.0)
            assert keeper.look([(f"198.51.100.{host}", 1)]) == [(f"198.51.100.{host}", 1)]
    assert [line["log_level"] for line in logs] == ["warning"]


def test_the_kernel_says_how_many_have_come() -> None:
    before = passive_opens(Path("/proc/net/snmp").read_text().splitlines())
    with listening() as listener:
        for _ in range(3):
            assert gets_in(listener, OTHER)
    after = passive_opens(Path("/proc/net/snmp").read_text().splitlines())
    assert before is not None
    assert after is not None
    assert after >= before + 3
    assert passive_opens([]) is None
    assert passive_opens(["Tcp: PassiveOpens", "Tcp: many"]) is None


@pytest.mark.usefixtures("no_loopback")
async def test_a_stranger_who_resets_calls_is_ended_and_shut_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LOOK_S", 0.05)
    async with served(tmp_path) as (bench, address):
        port = int(address.rpartition(":")[2])

        def reset_calls() -> None:
            with Http2(port) as client:
                for stream in range(1, 200_000, 2):
                    client.call("/edge.gate.v1.Gate/Admit", stream)
                    client.cancel(stream)
                    if stream % 200 == 1 and client.is_closed_within(0.01):
                        return

        await asyncio.to_thread(reset_calls)
        ended = {CallBroken(FAILING), CallBroken(SHUT_OUT)}
        await bench.until(lambda: bool(ended & set(bench.recorded.of(CallBroken))))
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(lambda: socket.create_connection(("127.0.0.1", port), 0.3))
