"""Mutated access units of every codec against a real gate: its workers are contained and may die.

Nothing that a publisher sends may cost the supervisor more than a worker. So what counts is tracebacks and
calls without an end. Deaths of workers are counted and allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc

from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2
from edge.domain import AccessUnit
from edge.gate_process import GateProcess
from tests.fuzz import seeds
from tests.fuzz.mutation import mutated
from tests.integration.calls import admit
from tests.running_gate import metrics

_STREAMS: Final = 4
_UNITS: Final = 60
_CALL_S: Final = 120.0
_STEP_MS: Final = 5
"""Little media time, because the gate reads no faster than media time runs."""
_CONFIG: Final = """
log_level = "info"
containment = "{containment}"
[workers]
count = 2
restart_backoff_ms = 10
# Slow because the machine is busy is no finding.
ready_ms = 600_000
hang_ms = 60_000
job_ms = 60_000
"""


@dataclass(slots=True)
class Watched:
    """What came of it."""

    units: int = 0
    raw_calls: int = 0
    worker_deaths: int = 0
    hangs: int = 0
    supervisor_tracebacks: list[str] = field(default_factory=list)
    worker_tracebacks: list[str] = field(default_factory=list)


_OF_WORKERS: Final = (
    "job failed",
    "check failed",
    "housekeeping failed",
    "command failed",
    "no evidence clip",
)


def fuzz_gate(directory: Path, seed: int, streams: int, raw_calls: int, containment: str = "try") -> Watched:
    """Publishes mutated streams and makes mutated calls, then reads the gate's log."""
    found = Watched()
    with GateProcess(directory, config=_CONFIG.format(containment=containment)) as gate:
        with grpc.insecure_channel(gate.grpc) as channel, ThreadPoolExecutor(_STREAMS) as pool:
            publishing = [pool.submit(_publish, channel, seed, number) for number in range(streams)]
            calling = pool.submit(_call_raw, channel, Random(f"raw {seed}"), raw_calls)
            for published in publishing:
                units, hung = published.result()
                found.units += units
                found.hangs += hung
            found.hangs += calling.result()
            found.raw_calls = raw_calls
            admit(gate_pb2_grpc.GateStub(channel), "at-the-end")  # it still answers
        restarts = re.search(r"^edge_worker_restarts_total (\S+)", metrics(gate), re.MULTILINE)
        found.worker_deaths = int(float(restarts[1])) if restarts else 0
    _read_log(gate.log(), found)
    return found


def _publish(channel: grpc.Channel, seed: int, number: int) -> tuple[int, bool]:
    """Publishes one stream. Returns the units sent, and whether its call has not ended."""
    random = Random(f"stream {seed} {number}")
    stub: Any = gate_pb2_grpc.GateStub(channel)
    admitted = admit(stub, f"fuzz-{seed}-{number}", connection=f"c-{seed}-{number}")
    media = random.choice(seeds.media())
    extradata = media.extradata
    if random.random() < 0.2:
        extradata = mutated(random, extradata, seeds.extradata())
    sent = 0

    def requests() -> Iterator[gate_pb2.WatchRequest]:
        nonlocal sent
        opened = gate_pb2.WatchOpen(
            stream_id=admitted.stream_id, codec=media.codec.value, extradata=extradata
        )
        yield gate_pb2.WatchRequest(open=opened)
        for unit in _units(random, media.units):
            sent += 1
            yield gate_pb2.WatchRequest(access_unit=unit)
        yield gate_pb2.WatchRequest(end=gate_pb2.WatchEnd(reason="closed"))

    try:
        for _ in stub.Watch(requests(), timeout=_CALL_S):
            pass
    except grpc.RpcError as error:
        return sent, error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return sent, False


def _units(random: Random, units: tuple[AccessUnit, ...]) -> Iterator[gate_pb2.AccessUnit]:
    others = [unit.data for unit in units]
    share = random.choice((0.05, 0.3, 0.8))
    for number in range(_UNITS):
        unit = units[number % len(units)]
        data = mutated(random, unit.data, others) if random.random() < share else unit.data
        stamp = number * _STEP_MS
        yield gate_pb2.AccessUnit(
            pts_ms=stamp if random.random() < 0.98 else random.randint(-(2**40), 2**40),
            dts_ms=stamp,
            keyframe=unit.keyframe if random.random() < 0.95 else not unit.keyframe,
            data=data,
        )


def _call_raw(channel: grpc.Channel, random: Random, count: int) -> int:
    """Makes calls whose bytes are mutated messages, or none at all. Returns how many did not end."""
    methods = [
        f"/{service.full_name}/{method.name}"
        for file in (gate_pb2, operator_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if not method.client_streaming and not method.server_streaming
    ]
    messages: list[Any] = [
        gate_pb2.AdmitRequest(server="test", connection="c", app="live", name="n", broadcaster="b"),
        gate_pb2.ConfirmCutRequest(stream_id="st_1"),
        operator_pb2.AddBlockRequest(subject_kind="broadcaster", subject="a", duration_ms=1, reason="r"),
        operator_pb2.ListIncidentsRequest(broadcaster="b"),
    ]
    bodies = [message.SerializeToString() for message in messages]
    hung = 0
    for _ in range(count):
        call = channel.unary_unary(random.choice(methods), bytes, bytes)
        try:
            call(mutated(random, random.choice(bodies), bodies), timeout=_CALL_S)
        except grpc.RpcError as error:
            hung += error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return hung


def _read_log(text: str, found: Watched) -> None:
    for line in text.splitlines():
        if "a contained process cannot import" in line:
            found.worker_tracebacks.append(line[-400:])
        if line.startswith("Traceback"):
            found.supervisor_tracebacks.append(line)
            continue
        if not line.startswith("{"):
            continue
        said = json.loads(line)
        if "exception" in said:
            whose = found.worker_tracebacks if said["event"] in _OF_WORKERS else found.supervisor_tracebacks
            whose.append(f"{said['event']}: {said['exception'][-400:]}")
