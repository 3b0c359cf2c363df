"""Open-loop load of Admit: calls at a fixed rate, whether or not answers come."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from edge.contract.gen import gate_pb2, gate_pb2_grpc

_CALL_S = 5.0


@dataclass
class Load:
    """Answers of a load. Times are ``time.perf_counter()`` seconds; latencies are milliseconds."""

    answers: list[tuple[float, float, str]] = field(default_factory=list)
    """When the call was due, its latency, and the reason of the answer."""
    failed: int = 0
    elapsed_s: float = 0.0

    def between(self, start: float, end: float) -> list[float]:
        """Returns the latencies of calls that were due from ``start`` until ``end``."""
        return [latency for due, latency, _ in self.answers if start <= due < end]

    @property
    def refused(self) -> int:
        return sum(reason != "ADMITTED" for _, _, reason in self.answers)


async def admit_load(
    channel: grpc.aio.Channel,
    rate: int,
    going_on: Callable[[int], bool],
    request: Callable[[int], gate_pb2.AdmitRequest],
    load: Load | None = None,
) -> Load:
    """Makes calls 1, 2, … as long as ``going_on(number)``. ``load`` fills meanwhile."""
    # A full garbage collection of this process takes longer than the latencies measured.
    gc.collect()
    gc.freeze()
    stub: Any = gate_pb2_grpc.GateStub(channel)
    load = load or Load()
    await stub.Admit(request(0))

    async def call(number: int) -> None:
        due = time.perf_counter()
        try:
            answer = await stub.Admit(request(number), timeout=_CALL_S)
        except grpc.RpcError:
            load.failed += 1
            return
        reason = gate_pb2.ReasonCode.Name(answer.reason).removeprefix("REASON_CODE_")
        load.answers.append((due, (time.perf_counter() - due) * 1000, reason))

    calls: set[asyncio.Task[None]] = set()
    start, number = time.perf_counter(), 1
    while going_on(number):
        delay = start + number / rate - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        calls.add(running := asyncio.create_task(call(number)))
        running.add_done_callback(calls.discard)
        number += 1
    await asyncio.gather(*calls)
    load.elapsed_s = time.perf_counter() - start
    return load
