"""The floods of the ``siege`` benchmark, each in a process of its own. ``main`` reads its plan from stdin.

A flood prints an empty line once it is ready, and begins at SIGUSR1. It is bounded in what it opens, and
goes on until SIGTERM. Then it prints one JSON object: what it did. All of it goes to loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import pickle
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from benchmarks._media import Loop
from benchmarks.servers.flv_publisher import flv_messages
from edge.api.auth import Role
from edge.cli.operator_client import GateConnection
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2
from edge.domain import AccessUnit, Codec
from edge.errors import GateError
from edge.ingest.gate_client import AdmittedStream, open_request, unit_request
from edge.ingest.rtmp_client import RtmpPublisher

PAUSE_S: Final = 0.2
"""Between two tries of one attacker."""
PUBLISHES_AT_ONCE: Final = 600
IDLE_CONNECTIONS: Final = 260
PUBLISHES_OF_ONE: Final = 60
HALF_REQUESTS: Final = 300
HELD_CONNECTIONS: Final = 400
REFUSED_CALLERS: Final = 20
ADMITTERS: Final = 8
VAIN_CALLERS: Final = 100
OVERRIDES: Final = 32
_END_AGAIN_S: Final = 0.2
_OPENED_AT_ONCE: Final = 40
_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_EXPECTED = (OSError, TimeoutError, GateError, grpc.RpcError, asyncio.InvalidStateError)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a flood goes, and what it sends."""

    flood: str
    gate: str
    ingest: str
    http: str
    tokens: Path
    loop: Loop | None
    """Media of a flood over Watch."""
    programme: Path
    """Media of a flood over RTMP."""
    policy: str
    """The policy in force, as JSON."""


class Flood:
    """One flood. ``done`` counts what it did, and how it was answered."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.done: Counter[str] = Counter()
        self._numbers = iter(range(10**9))

    async def pushes(self, attackers: int, *, paced: bool) -> None:
        """Publishes over Watch, again and again. ``paced``: as fast as filmed, else as fast as taken."""
        options = [("grpc.max_send_message_length", _MAX_MESSAGE_BYTES)]
        async with grpc.aio.insecure_channel(self.plan.gate, options=options) as channel:
            stub = gate_pb2_grpc.GateStub(channel)
            await asyncio.gather(*(self._attack(stub, paced=paced) for _ in range(attackers)))

    async def admits(self) -> None:
        """Asks for admission and watches nothing."""
        async with grpc.aio.insecure_channel(self.plan.gate) as channel:
            stub = gate_pb2_grpc.GateStub(channel)

            async def once() -> None:
                await self._admit(stub)

            await self._callers(ADMITTERS, once)

    async def given_back(self) -> None:
        """Asks for admission and gives it back at once."""
        async with grpc.aio.insecure_channel(self.plan.gate) as channel:
            stub = gate_pb2_grpc.GateStub(channel)

            async def once() -> None:
                admitted = await self._admit(stub)
                if admitted.allowed:
                    stream_id, secret = admitted.stream_id, admitted.admission_secret
                    await stub.ReleaseStream(
                        gate_pb2.ReleaseStreamRequest(stream_id=stream_id, admission_secret=secret)
                    )

            await self._callers(ADMITTERS, once)

    async def vain(self) -> None:
        """Checks health, calls what there is not, sends what is no message, and cancels calls."""
        async with grpc.aio.insecure_channel(self.plan.gate) as channel:
            calls: list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
                channel.unary_unary(method, bytes, bytes)
                for method in (
                    "/grpc.health.v1.Health/Check",
                    "/some.Service/Call",
                    "/edge.gate.v1.Gate/Admit",
                )
            ]
            numbers = itertools.count()

            async def once() -> None:
                number = next(numbers)
                call = calls[number % 3](b"\xff" * 4 if number % 3 == 2 else b"")
                self.done["calls"] += 1
                if number % 4 == 3:
                    await asyncio.sleep(0)
                    call.cancel()
                else:
                    await call

            await self._callers(VAIN_CALLERS, once, pause_s=0.01)

    async def _callers(
        self, callers: int, once: Callable[[], Awaitable[None]], pause_s: float = PAUSE_S
    ) -> None:
        """Many who do something again and again, with a pause after each failure."""

        async def caller() -> None:
            while True:
                try:
                    await once()
                except _EXPECTED:
                    await asyncio.sleep(pause_s)
                except asyncio.CancelledError:  # of the call alone
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        raise

        await asyncio.gather(*(caller() for _ in range(callers)))

    async def _attack(self, stub: gate_pb2_grpc.GateAsyncStub, *, paced: bool) -> None:
        while True:
            with contextlib.suppress(*_EXPECTED):
                await self._push(stub, paced=paced)
            await asyncio.sleep(PAUSE_S)

    async def _admit(self, stub: gate_pb2_grpc.GateAsyncStub) -> gate_pb2.AdmitResponse:
        name = f"flood{next(self._numbers)}"
        admitted = await stub.Admit(
            gate_pb2.AdmitRequest(server="siege", connection=name, app="live", name=name, broadcaster=name)
        )
        self.done["admitted" if admitted.allowed else "refused"] += 1
        return admitted

    async def _push(self, stub: gate_pb2_grpc.GateAsyncStub, *, paced: bool) -> None:
        admitted = await self._admit(stub)
        if not admitted.allowed:
            return
        answers = stub.Watch(self._requests(AdmittedStream.of(admitted), paced=paced))
        try:
            async for answer in answers:
                self.done[answer.WhichOneof("response") or "none"] += 1
        finally:
            self.done["ended"] += 1

    async def _requests(self, stream: AdmittedStream, *, paced: bool) -> AsyncIterator[gate_pb2.WatchRequest]:
        loop = self.plan.loop
        assert loop is not None
        yield open_request(stream, Codec(loop.codec), loop.extradata)
        started, shift_ms = time.monotonic(), 0
        while True:
            for unit in loop.units:
                at_ms = shift_ms + unit.dts_ms
                if paced:
                    await asyncio.sleep(max(0.0, started + at_ms / 1000 - time.monotonic()))
                self.done["units"] += 1
                yield unit_request(AccessUnit(shift_ms + unit.pts_ms, at_ms, unit.keyframe, unit.data, 0.0))
            shift_ms += loop.duration_ms
            await asyncio.sleep(0)

    async def refused(self) -> None:
        """Watches streams that do not exist, and sends on."""
        async with grpc.aio.insecure_channel(self.plan.gate) as channel:
            stub = gate_pb2_grpc.GateStub(channel)

            async def caller() -> None:
                while True:
                    self.done["calls"] += 1
                    with contextlib.suppress(*_EXPECTED):
                        async for _ in stub.Watch(self._requests(AdmittedStream("st_none"), paced=False)):
                            pass

            await asyncio.gather(*(caller() for _ in range(REFUSED_CALLERS)))

    async def fast_rtmp(self) -> None:
        """Publishes over RTMP as fast as the connection takes it."""
        messages = list(flv_messages(self.plan.programme))
        length_ms = messages[-1].timestamp + 40
        while True:
            with contextlib.suppress(*_EXPECTED):
                publisher = await self._publish(f"flood{next(self._numbers)}")
                try:
                    for lap in range(10**6):
                        for message in messages:
                            await publisher.send(message, message.timestamp + lap * length_ms)
                            self.done["messages"] += 1
                finally:
                    await publisher.close()
            await asyncio.sleep(PAUSE_S)

    async def disconnecting(self) -> None:
        """Publishes that disconnect at once."""
        places = asyncio.Semaphore(_OPENED_AT_ONCE)

        async def one(number: int) -> None:
            async with places:
                with contextlib.suppress(*_EXPECTED):
                    publisher = await self._publish(f"flood{number}")
                    publisher._writer.transport.abort()

        await asyncio.gather(*(one(number) for number in range(PUBLISHES_AT_ONCE)))
        await asyncio.Event().wait()

    async def publishes_of_one(self) -> None:
        """Publishes of one broadcaster, kept open."""
        held = []
        for number in range(PUBLISHES_OF_ONE):
            with contextlib.suppress(*_EXPECTED):
                held.append(await self._publish(f"show{number}", "flooder"))
        await asyncio.Event().wait()

    async def _publish(self, name: str, user: str = "") -> RtmpPublisher:
        url = f"rtmp://{self.plan.ingest}/live/{name}?user={user or name}"
        try:
            publisher = await RtmpPublisher.connect(url)
        except _EXPECTED:
            self.done["refused"] += 1
            raise
        self.done["published"] += 1
        return publisher

    async def idle(self) -> None:
        """Connections to the ingest server that send nothing. Those that are closed come again."""
        await self._hold([self.plan.ingest], IDLE_CONNECTIONS, b"")

    async def half_requests(self) -> None:
        """HTTP requests whose headers do not end."""
        await self._hold([self.plan.http], HALF_REQUESTS, b"POST /hooks HTTP/1.1\r\nHost: gate\r\nX-A: ")

    async def descriptors(self) -> None:
        """More connections than the gate has file descriptors for."""
        await self._hold([self.plan.gate, self.plan.http], HELD_CONNECTIONS, b"")

    async def _hold(self, addresses: list[str], connections: int, first: bytes) -> None:
        async def one(number: int) -> None:
            host, _, port = addresses[number % len(addresses)].rpartition(":")
            while True:
                with contextlib.suppress(*_EXPECTED):
                    async with asyncio.timeout(5):
                        reader, writer = await asyncio.open_connection(host, int(port))
                    self.done["connections"] += 1
                    writer.write(first)
                    with contextlib.suppress(OSError):
                        await reader.read()
                    self.done["closed"] += 1
                    writer.transport.abort()
                await asyncio.sleep(PAUSE_S)

        await asyncio.gather(*(one(number) for number in range(connections)))

    async def overrides(self) -> None:
        """Sets a policy with as many overrides as there may be, every second."""
        base = json.loads(self.plan.policy)
        while True:
            lap = next(self._numbers)
            patch = {"tiers": {"burst_ms": 200 + lap % 2}}
            apps = {f"app{number}*": patch for number in range(OVERRIDES - len(base["apps"]))}
            tenants = {f"tenant{number}*": patch for number in range(OVERRIDES)}
            wide = {**base, "apps": {**base["apps"], **apps}, "tenants": tenants}
            await asyncio.to_thread(self._set_policy, json.dumps(wide))
            await asyncio.sleep(1.0)

    def _set_policy(self, text: str) -> None:
        with (
            contextlib.suppress(*_EXPECTED),
            GateConnection(self.plan.gate, self.plan.tokens).operator(Role.ADMIN) as (stub, metadata),
        ):
            request = operator_pb2.SetPolicyRequest(json=text, reason="siege")
            stub.SetPolicy(request, metadata=metadata, timeout=10)
            self.done["policies"] += 1


_BURN: Final = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


async def burning() -> None:
    """Burns processor time and calls nobody: the control."""
    burners = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _BURN) for _ in range(os.cpu_count() or 1)
    ]
    try:
        await asyncio.Event().wait()
    finally:
        for burner in burners:
            burner.kill()
            await burner.wait()


FLOODS: Final[Mapping[str, Callable[[Flood], Awaitable[None]]]] = {
    "oversized": lambda flood: flood.pushes(4, paced=True),
    "admits": Flood.admits,
    "costly": lambda flood: flood.pushes(2, paced=True),
    "fast_rtmp": Flood.fast_rtmp,
    "fast_watch": lambda flood: flood.pushes(1, paced=False),
    "disconnecting": Flood.disconnecting,
    "idle": Flood.idle,
    "one_broadcaster": Flood.publishes_of_one,
    "half_requests": Flood.half_requests,
    "descriptors": Flood.descriptors,
    "overrides": Flood.overrides,
    "refused": Flood.refused,
    "given_back": Flood.given_back,
    "vain": Flood.vain,
    "burning": lambda flood: burning(),
}
"""In the order in which they run."""


async def run(plan: Plan) -> Counter[str]:
    flood, begun, told = Flood(plan), asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, begun.set)
    print(flush=True)
    await begun.wait()
    task = asyncio.ensure_future(FLOODS[plan.flood](flood))
    await told.wait()
    await end(task)
    return flood.done


async def end(task: asyncio.Future[None]) -> None:
    """Ends a flood. A call that fails in the same moment may swallow a cancellation, so it is repeated."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_END_AGAIN_S)


def main() -> int:
    plan = pickle.load(sys.stdin.buffer)  # written by our own parent process
    assert isinstance(plan, Plan)
    print(json.dumps(asyncio.run(run(plan))), flush=True)
    return 0
