"""A receiver with an unresponsive name server costs the gate one thread, and no more."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from edge.servers.json_api import JsonApi
from edge.webhook.endpoint import Endpoint
from edge.webhook.events import ping
from edge.webhook.resolver import Host
from edge.webhook.signing import key_of, new_secret
from tests.webhook.platform import Platform

SECRET = new_secret()
NAME = "receiver.invalid"
PING = ping("evt_1", 1_700_000_000_000)


class NameServer:
    """Replaces the system's resolver for one name. It answers once it is released."""

    def __init__(self) -> None:
        self.addresses = ["127.0.0.1"]
        self.asked = 0
        self.lets_go = threading.Event()
        self._system = socket.getaddrinfo

    def getaddrinfo(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if host not in (NAME, NAME.encode()):
            return list(self._system(host, port, *args, **kwargs))
        self.asked += 1
        self.lets_go.wait()
        return [each for address in self.addresses for each in self._system(address, port, *args, **kwargs)]


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.lets_go.set()


def receiver(platform: Platform, timeout_ms: int = 5000, public_only: bool = False) -> Endpoint:
    url = platform.url.replace("127.0.0.1", NAME)
    return Endpoint(url, [key_of(SECRET)], timeout_ms=timeout_ms, public_only=public_only)


async def test_a_name_that_hangs_takes_no_thread_from_a_cut(name_server: NameServer) -> None:
    # As many threads as a machine with two cores has. The last lookup would wait for all others.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(6))
    with Platform(SECRET) as platform:
        hanging = receiver(platform, timeout_ms=400)
        sending = [asyncio.create_task(hanging.send(PING)) for _ in range(16)]
        await asyncio.sleep(0.05)
        api = JsonApi(f"http://localhost:{platform.port}")
        answer = await api.call("GET", "/nowhere")
        assert (answer.status, answer.problem) == (404, "")
        attempts = await asyncio.gather(*sending)
        assert {attempt.problem for attempt in attempts} == {"no answer within 0.4 s"}
        assert name_server.asked == 1
        name_server.lets_go.set()
        assert (await hanging.send(PING)).delivered
        await api.aclose()
        await hanging.aclose()


def test_a_name_that_hangs_does_not_keep_the_process() -> None:
    program = f"""
import asyncio, socket, time
socket.getaddrinfo = lambda *args, **kwargs: time.sleep(60)
from edge.webhook.resolver import Host
async def ask():
    async with asyncio.timeout(0.05):
        await Host("{NAME}", 443).addresses()
try:
    asyncio.run(ask())
except TimeoutError:
    print("gone")
"""
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("gone\n", "", 0)
    assert time.monotonic() - started < 30


async def test_the_next_address_is_tried_and_the_good_one_remembered(name_server: NameServer) -> None:
    name_server.addresses = ["127.0.0.9", "127.0.0.1"]
    name_server.lets_go.set()
    with Platform(SECRET) as platform:
        sender = receiver(platform)
        assert [(await sender.send(PING)).delivered for _ in range(3)] == [True] * 3
        assert name_server.asked == 1
        assert await sender._addresses() == ["127.0.0.1", "127.0.0.9"]
        await sender.aclose()
        assert len(platform.ids) == 3


async def test_one_inner_address_among_others_is_refused_on_demand(name_server: NameServer) -> None:
    name_server.addresses = ["8.8.8.8", "127.0.0.1"]
    name_server.lets_go.set()
    with Platform(SECRET) as platform:
        sender = receiver(platform, public_only=True)
        attempt = await sender.send(PING)
        await sender.aclose()
        assert attempt.problem == f"webhook.public_only: {NAME} is at 127.0.0.1"
        assert not platform.ids


@pytest.mark.parametrize("name", [NAME, "a..b", "x" * 64 + ".invalid"])
async def test_a_name_without_an_address_is_said(name: str, name_server: NameServer) -> None:
    name_server.addresses = []
    name_server.lets_go.set()
    with pytest.raises(OSError, match=name):
        await Host(name, 80).addresses()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert await Host(address, 80).addresses() == (address,)
