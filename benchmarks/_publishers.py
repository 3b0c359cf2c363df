"""Paced callers of the gate in a process of their own. ``main`` reads its pickled plan from stdin.

Each stream is admitted and watched in real time from a random phase. In push mode its caller sends the loop
over Watch. It starts at any keyframe of the loop, because streams do not all show new frames at once. It
leaves out what the gate does not need, by the rules of the reference ingest. In pull mode it asks the gate
to pull from an RTMP server and reads the answers. Prints one JSON object a line and a stream.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import grpc

from benchmarks._media import Loop
from edge.contract.gate import tier_from_proto
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.domain import AccessUnit, Codec
from edge.ingest.gate_client import (
    AdmittedStream,
    FinalStatus,
    WatchCall,
    end_request,
    open_request,
    unit_request,
)
from edge.ingest.gate_feed import GateFeed

PullCall = grpc.aio.UnaryStreamCall[gate_pb2.AttachRequest, gate_pb2.WatchResponse]
MAX_GOP_BYTES = 8 * 1024 * 1024
ALERT_APP = "alert"
"""App whose policy keeps its streams in alert."""
_FAREWELL_S = 10.0


@dataclass(frozen=True)
class Plan:
    """Plan of one process of callers. Times are ``time.time()`` seconds."""

    gate: str
    loop: Loop
    streams: tuple[tuple[str, str], ...]
    """App and name of each stream."""
    start_at: float
    """When the first stream starts."""
    measure_at: float
    end_at: float
    seed: int
    honour_tiers: bool = True
    pull_url: str = ""
    """Pull mode: URL of a stream, with ``{name}`` in it."""
    churn_s: float = 0.0
    """Mean life of a stream before another replaces it; 0: all live to the end."""
    measure_until: float = float("inf")
    ramp_s: float = 2.0
    """Time after the first stream in which all others start."""

    def measures(self, now: float) -> bool:
        return self.measure_at <= now < self.measure_until


@dataclass
class Tally:
    """Observations of one stream from ``measure_at`` on."""

    app: str = ""
    verdicts: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    not_judged: Counter[str] = field(default_factory=Counter)
    blind_ms_max: int = 0
    last_pts_ms: int = -1
    cut: bool = False
    failed: str = ""
    units: int = 0
    """Access units sent from ``measure_at`` on."""
    lag_ms_max: float = 0.0
    """Most that the caller fell behind its own pace."""
    lost_at: float = 0.0
    """When the gate reported that its worker was lost."""
    resumed_at: float = 0.0
    """Time of the first verdict after that."""
    gap_s_max: float = 0.0
    """Longest time without a verdict, in seconds."""
    last_at: float = 0.0
    verdict_times: list[float] = field(default_factory=list)
    """Time of each verdict."""


class Caller:
    """Caller of one stream during one life."""

    def __init__(self, plan: Plan, loop: Loop, app: str, name: str, until: float) -> None:
        self._plan = plan
        self._loop = loop
        self._app = app
        self._name = name
        self._until = until
        self._feed = GateFeed(MAX_GOP_BYTES)
        self._outbox: deque[AccessUnit] = deque()
        self._writing = asyncio.Lock()
        self._ended = False
        self.tally = Tally(app=app)

    async def run(self, stub: gate_pb2_grpc.GateAsyncStub) -> None:
        tally = self.tally
        try:
            admitted = await stub.Admit(
                gate_pb2.AdmitRequest(
                    server="benchmark",
                    connection=self._name,
                    app=self._app,
                    name=self._name,
                    broadcaster=self._name,
                )
            )
            if not admitted.allowed:
                tally.failed = gate_pb2.ReasonCode.Name(admitted.reason)
            elif self._plan.pull_url:
                await self._pull(stub, admitted)
            else:
                await self._push(stub, admitted)
        except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError) as error:
            code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
            tally.failed = tally.failed or code

    async def _push(self, stub: gate_pb2_grpc.GateAsyncStub, admitted: gate_pb2.AdmitResponse) -> None:
        call: WatchCall = stub.Watch()  # type: ignore[call-arg]  # the stub wants an iterator
        status = FinalStatus(call)
        loop = self._loop
        await call.write(open_request(AdmittedStream.of(admitted), Codec(loop.codec), loop.extradata))
        reading = asyncio.create_task(self._read(call))
        try:
            await self._send_loop(call, reading)
            self._ended = True
            await self._send(call, ())
            await call.write(end_request("closed"))
            await call.done_writing()
            await asyncio.wait_for(reading, _FAREWELL_S)
        except asyncio.InvalidStateError:
            self.tally.failed = status.code.name if status.code is not None else "INTERNAL"
            reading.cancel()

    async def _send_loop(self, call: WatchCall, reading: asyncio.Task[None]) -> None:
        loop, tally = self._loop, self.tally
        start, lap = time.time(), 0
        while True:
            shift = lap * loop.duration_ms
            for unit in loop.units:
                due = start + (shift + unit.dts_ms) / 1000
                if due > self._until or reading.done():
                    return
                behind = time.time() - due
                if behind < -0.001:
                    await asyncio.sleep(-behind)
                elif due > self._plan.measure_at:
                    tally.lag_ms_max = max(tally.lag_ms_max, 1000 * behind)
                whole = AccessUnit(unit.pts_ms + shift, unit.dts_ms + shift, unit.keyframe, unit.data, 0.0)
                await self._send(call, self._feed.push(whole) if self._plan.honour_tiers else (whole,))
            lap += 1

    async def _send(self, call: WatchCall, units: Iterable[AccessUnit]) -> None:
        """Sends units in the order of the feed, whichever task asks."""
        self._outbox.extend(units)
        async with self._writing:
            while self._outbox:
                await call.write(unit_request(self._outbox.popleft()))
                self.tally.units += self._plan.measures(time.time())

    async def _pull(self, stub: gate_pb2_grpc.GateAsyncStub, admitted: gate_pb2.AdmitResponse) -> None:
        url = self._plan.pull_url.format(name=self._name)
        stream_id, secret = admitted.stream_id, admitted.admission_secret
        attaching = gate_pb2.AttachRequest(stream_id=stream_id, url=url, admission_secret=secret)
        call = stub.Attach(attaching)
        reading = asyncio.create_task(self._read(call))
        await asyncio.wait({reading}, timeout=max(0.0, self._until - time.time()))
        if not reading.done():
            over = gate_pb2.DetachRequest(stream_id=stream_id, reason="closed", admission_secret=secret)
            await stub.Detach(over)
        await asyncio.wait_for(reading, _FAREWELL_S)

    async def _read(self, call: WatchCall | PullCall) -> None:
        try:
            async for answer in call:
                match answer.WhichOneof("response"):
                    case "verdict":
                        self._note(answer.verdict)
                    case "degraded":
                        self._note_degraded(answer.degraded)
                    case "opened" | "tier":
                        change = answer.tier if answer.HasField("tier") else answer.opened.tier
                        if self._plan.honour_tiers and not self._plan.pull_url and not self._ended:
                            tier = tier_from_proto(change.tier)
                            due = self._feed.change(tier, change.needed_after_keyframe_ms)
                            await self._send(cast(WatchCall, call), due)
        except grpc.aio.AioRpcError as error:
            self.tally.failed = error.code().name

    def _note(self, verdict: gate_pb2.Verdict) -> None:
        tally, now = self.tally, time.time()
        tally.cut = tally.cut or verdict.action == gate_pb2.ACTION_CUT
        if tally.lost_at and not tally.resumed_at:
            tally.resumed_at = now
        if not self._plan.measures(now):
            return
        tally.verdicts += 1
        tally.verdict_times.append(round(now, 3))
        tally.latencies_ms.append(round(verdict.latency_ms, 3))
        if tally.last_pts_ms >= 0:
            tally.blind_ms_max = max(tally.blind_ms_max, verdict.pts_ms - tally.last_pts_ms)
            tally.gap_s_max = max(tally.gap_s_max, now - tally.last_at)
        tally.last_pts_ms, tally.last_at = verdict.pts_ms, now

    def _note_degraded(self, degraded: gate_pb2.Degraded) -> None:
        now = time.time()
        if degraded.reason == "worker_lost" and not self.tally.lost_at:
            self.tally.lost_at = now
        if self._plan.measures(now):
            self.tally.not_judged[degraded.reason] += degraded.count


async def keep_on_air(
    plan: Plan, app: str, name: str, stub: gate_pb2_grpc.GateAsyncStub, chance: random.Random
) -> list[Tally]:
    """Runs one stream to the end of the plan, or with churn a sequence of streams in its place."""
    await asyncio.sleep(max(0.0, plan.start_at + chance.uniform(0, plan.ramp_s) - time.time()))
    tallies: list[Tally] = []
    life = 0
    while time.time() < plan.end_at - 1.0:
        until = plan.end_at
        if plan.churn_s:
            until = min(until, time.time() + chance.uniform(0.25, 1.75) * plan.churn_s)
        ident = name if not plan.churn_s or plan.pull_url else f"{name}-{life}"
        caller = Caller(plan, plan.loop.begun_at(chance.random()), app, ident, until)
        tallies.append(caller.tally)
        await caller.run(stub)
        life += 1
        if not plan.churn_s:
            break
        await asyncio.sleep(chance.uniform(0.2, 1.0))
    return tallies


async def run(plan: Plan) -> list[Tally]:
    chance = random.Random(plan.seed)
    options = [("grpc.max_send_message_length", 16 * 1024 * 1024)]
    async with grpc.aio.insecure_channel(plan.gate, options=options) as channel:
        stub = gate_pb2_grpc.GateStub(channel)
        lives = await asyncio.gather(
            *(
                keep_on_air(plan, app, name, stub, random.Random(chance.random()))
                for app, name in plan.streams
            )
        )
    return [tally for tallies in lives for tally in tallies]


def main() -> int:
    plan = pickle.load(sys.stdin.buffer)  # written by our own parent process
    assert isinstance(plan, Plan)
    for tally in asyncio.run(run(plan)):
        print(json.dumps({**vars(tally), "not_judged": dict(tally.not_judged)}))
    return 0
