"""Paced publishers in a process of their own; ``main`` reads its plan, pickled, on stdin.

Each stream is admitted, pushes its loop over Watch in real time from a random phase, honours tier
changes as a good caller does, and counts what comes back. One JSON object a line goes to stdout.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc

from benchmarks._media import Loop
from edge.api.gen import gate_pb2, gate_pb2_grpc
from edge.domain import AccessUnit, Tier
from edge.ingest.feed import Feed
from edge.ingest.gate_client import WatchCall

MAX_GOP_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """What one publisher process does."""

    gate: str
    loop: Loop
    names: tuple[str, ...]
    start_at: float
    """``time.time()`` at which the first stream starts; the others within one GOP after it."""
    seconds: float
    seed: int
    honour_tiers: bool = True


@dataclass
class Tally:
    """What one stream saw."""

    verdicts: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    not_judged: Counter[str] = field(default_factory=Counter)
    blind_ms_max: int = 0
    last_pts_ms: int = -1
    cut: bool = False
    failed: str = ""
    sent: int = 0


async def publish(
    plan: Plan, name: str, stub: gate_pb2_grpc.GateAsyncStub, delay_s: float, tally: Tally
) -> None:
    await asyncio.sleep(max(0.0, plan.start_at - time.time()) + delay_s)
    admitted = await stub.Admit(
        gate_pb2.AdmitRequest(server="benchmark", connection=name, app="load", name=name, broadcaster=name)
    )
    if not admitted.allowed:
        tally.failed = gate_pb2.ReasonCode.Name(admitted.reason)
        return
    call: WatchCall = stub.Watch()  # type: ignore[call-arg]  # the stub wants an iterator
    feed = Feed(MAX_GOP_BYTES)
    loop = plan.loop
    await call.write(
        gate_pb2.WatchRequest(
            open=gate_pb2.WatchOpen(stream_id=admitted.stream_id, codec=loop.codec, extradata=loop.extradata)
        )
    )
    reading = asyncio.create_task(read(call, feed, plan, tally))
    start = time.perf_counter()
    lap = 0
    try:
        while time.perf_counter() - start < plan.seconds and not reading.done():
            for unit in loop.units:
                due = start + (lap * loop.duration_ms + unit.dts_ms) / 1000
                wait = due - time.perf_counter()
                if wait > 0.001:
                    await asyncio.sleep(wait)
                if due - start > plan.seconds or reading.done():
                    break
                shift = lap * loop.duration_ms
                whole = AccessUnit(unit.pts_ms + shift, unit.dts_ms + shift, unit.keyframe, unit.data, 0.0)
                for wanted in feed.push(whole) if plan.honour_tiers else (whole,):
                    await send(call, wanted)
                    tally.sent += 1
            lap += 1
        await call.write(gate_pb2.WatchRequest(end=gate_pb2.WatchEnd(reason="closed")))
        await call.done_writing()
        await asyncio.wait_for(reading, 10)
    except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError) as error:
        tally.failed = tally.failed or type(error).__name__
        reading.cancel()


async def send(call: WatchCall, unit: AccessUnit) -> None:
    await call.write(
        gate_pb2.WatchRequest(
            access_unit=gate_pb2.AccessUnit(
                pts_ms=unit.pts_ms, dts_ms=unit.dts_ms, keyframe=unit.keyframe, data=unit.data
            )
        )
    )


async def read(call: WatchCall, feed: Feed, plan: Plan, tally: Tally) -> None:
    tiers = {gate_pb2.TIER_KIND_CALM: Tier.CALM, gate_pb2.TIER_KIND_ALERT: Tier.ALERT}
    try:
        async for answer in call:
            match answer.WhichOneof("response"):
                case "verdict":
                    verdict = answer.verdict
                    tally.verdicts += 1
                    tally.latencies_ms.append(verdict.latency_ms)
                    if tally.last_pts_ms >= 0:
                        tally.blind_ms_max = max(tally.blind_ms_max, verdict.pts_ms - tally.last_pts_ms)
                    tally.last_pts_ms = verdict.pts_ms
                    tally.cut = tally.cut or verdict.action == gate_pb2.ACTION_CUT
                case "degraded":
                    tally.not_judged[answer.degraded.reason] += answer.degraded.count
                case "opened" | "tier":
                    change = answer.tier if answer.HasField("tier") else answer.opened.tier
                    if plan.honour_tiers:
                        for unit in feed.change(tiers[change.tier], change.needed_after_keyframe_ms):
                            await send(call, unit)
                            tally.sent += 1
    except grpc.RpcError as error:
        tally.failed = str(error.code().name)


async def run(plan: Plan) -> list[Tally]:
    phases = random.Random(plan.seed)
    gop_s = 2.0
    options = [("grpc.max_send_message_length", 16 * 1024 * 1024)]
    async with grpc.aio.insecure_channel(plan.gate, options=options) as channel:
        stub = gate_pb2_grpc.GateStub(channel)
        tallies = [Tally() for _ in plan.names]
        await asyncio.gather(
            *(
                publish(plan, name, stub, phases.uniform(0, gop_s), tally)
                for name, tally in zip(plan.names, tallies, strict=True)
            )
        )
    return tallies


def main() -> int:
    plan = pickle.load(sys.stdin.buffer)  # written by our own parent process
    assert isinstance(plan, Plan)
    for tally in asyncio.run(run(plan)):
        print(json.dumps({**tally.__dict__, "not_judged": dict(tally.not_judged)}))
    return 0
