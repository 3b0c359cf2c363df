"""How soon a publisher is cut who shows known footage only when he expects the gate not to look.

    python -m benchmarks evade --json

Streams with known footage in a pattern are pushed to a real gate. Each is timed from the first hidden frame
that it sends to its CUT. There are three situations. `full`: no worker spends spare time, as on a full one,
and broadcasters are not new. `new`: the same, and the gate has not watched the broadcasters before. `idle`:
one worker with time to spare, five streams at a time. Footage is on screen for half of the time or more.
`not_cut` names the patterns of which a stream was not cut in time, `failed` the streams that nobody watched.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from benchmarks._hidden_footage import PATTERNS, Hidden, hidden_stream, pictures
from benchmarks._percentiles import percentiles
from edge.api.auth import Role
from edge.cli.demo_footage import demo_footage
from edge.cli.operator_client import GateConnection
from edge.contract.gate import tier_from_proto
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2
from edge.errors import NotFound
from edge.gate_process import GateProcess
from edge.ingest.gate_client import WatchCall, end_request, unit_request
from edge.ingest.gate_feed import GateFeed
from edge.match import Bank, BankInfo, fingerprint

_LIMITS = "[limits]\nmax_streams = 512\nmax_streams_per_client = 512\n"
_MAX_GOP_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Situation:
    """What the streams of a round meet."""

    config: str
    looks: dict[str, Any]
    at_once: int
    """Streams at a time. All that are cut were watched densely before, so more would overload a small machine
    just then."""
    streams: int
    """Streams of each pattern."""
    limit_s: float
    """After this time from the first hidden frame a stream counts as not cut."""


SITUATIONS = {
    "full": Situation("[workers]\nspare_load = 0.0\n", {"new_ms": 0}, 8, 3, 100.0),
    "new": Situation("[workers]\nspare_load = 0.0\n", {}, 8, 2, 60.0),
    "idle": Situation("[workers]\ncount = 1\n", {"new_ms": 0}, 5, 2, 40.0),
}


async def time_to_cut(
    stub: gate_pb2_grpc.GateAsyncStub, hidden: Hidden, name: str, limit_s: float
) -> float | None:
    """Pushes a stream in real time. Returns the seconds from its first hidden frame to the CUT, or None.

    Raises RuntimeError where the gate does not watch it.
    """
    admitted = await stub.Admit(
        gate_pb2.AdmitRequest(server="benchmark", connection=name, app="live", name=name, broadcaster=name)
    )
    if not admitted.allowed:
        raise RuntimeError(gate_pb2.ReasonCode.Name(admitted.reason))
    call: WatchCall = stub.Watch()  # type: ignore[call-arg]  # the stub wants an iterator
    await call.write(
        gate_pb2.WatchRequest(
            open=gate_pb2.WatchOpen(
                stream_id=admitted.stream_id,
                codec="h264",
                extradata=hidden.extradata,
                admission_secret=admitted.admission_secret,
            )
        )
    )
    feed, cut_at, ended, start = GateFeed(_MAX_GOP_BYTES), 0.0, False, time.monotonic()
    writing = asyncio.Lock()
    shown_at = start + hidden.shown_ms / 1000

    async def send(units: Sequence[Any]) -> None:
        async with writing:
            for unit in units:
                await call.write(unit_request(unit))

    async def read() -> None:
        nonlocal cut_at
        async for answer in call:
            match answer.WhichOneof("response"):
                case "verdict" if answer.verdict.action == gate_pb2.ACTION_CUT:
                    cut_at = time.monotonic()
                    return
                case "opened" | "tier" if not ended:
                    change = answer.tier if answer.HasField("tier") else answer.opened.tier
                    await send(feed.change(tier_from_proto(change.tier), change.needed_after_keyframe_ms))

    reading = asyncio.create_task(read())
    try:
        for unit in hidden.endless():
            due = start + unit.dts_ms / 1000
            if reading.done() or due > shown_at + limit_s:
                break
            if (wait_s := due - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            await send(feed.push(unit))
        if not reading.done():
            ended = True
            await call.write(end_request("closed"))
            await call.done_writing()
            await asyncio.wait({reading}, timeout=5.0)
    except asyncio.InvalidStateError:  # the gate has ended the call
        await asyncio.wait({reading}, timeout=5.0)
    finally:
        reading.cancel()
        call.cancel()
    if cut_at:
        await stub.ConfirmCut(
            gate_pb2.ConfirmCutRequest(
                stream_id=admitted.stream_id, admission_secret=admitted.admission_secret
            )
        )
        return cut_at - shown_at
    if reading.done() and not reading.cancelled() and (error := reading.exception()) is not None:
        raise RuntimeError(str(error))
    return None


async def run_round(
    gate: GateProcess, situation: Situation, streams: dict[str, Hidden], done: Callable[[], None]
) -> tuple[dict[str, list[float | None]], dict[str, str]]:
    """Pushes the streams of each pattern. Returns their times to cut, and why streams were not watched."""
    times: dict[str, list[float | None]] = defaultdict(list)
    failed: dict[str, str] = {}
    names = [(name, number) for number in range(situation.streams) for name in streams]
    places = asyncio.Semaphore(situation.at_once)
    options = [("grpc.max_send_message_length", 16 * 1024 * 1024)]
    async with grpc.aio.insecure_channel(gate.grpc, options=options) as channel:
        stub = gate_pb2_grpc.GateStub(channel)

        async def one(name: str, number: int) -> None:
            stream = f"{name}-{number}"
            async with places:
                try:
                    times[name].append(await time_to_cut(stub, streams[name], stream, situation.limit_s))
                except (RuntimeError, grpc.RpcError) as error:
                    failed[stream] = str(error)
            done()

        async with asyncio.TaskGroup() as tasks:
            for name, number in names:
                tasks.create_task(one(name, number))
    return times, failed


def report(
    situation: Situation, times: dict[str, list[float | None]], failed: dict[str, str]
) -> dict[str, Any]:
    """Returns the figures of one round. A stream that was not cut counts with its limit."""
    every = [situation.limit_s if one is None else one for each in times.values() for one in each]
    return {
        "streams": len(every),
        "time_to_cut_s": percentiles(every, (50, 95, 99)),
        "failed": failed,
        "not_cut": sorted(name for name, each in times.items() if None in each),
        "patterns": {
            name: percentiles([situation.limit_s if one is None else one for one in each])
            for name, each in times.items()
        },
    }


def _set_looks(gate: GateProcess, looks: dict[str, Any]) -> None:
    with GateConnection(gate.grpc, gate.tokens).operator(Role.ADMIN) as (stub, metadata):
        policy = json.loads(stub.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=metadata).json)
        policy["looks"] |= looks
        policy["failure"]["on_capacity"] = "allow"
        request = operator_pb2.SetPolicyRequest(json=json.dumps(policy), reason="benchmark")
        stub.SetPolicy(request, metadata=metadata)


def run(given: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    footage = demo_footage(None, None)
    assert footage.known is not None
    # A still frame: nothing in it makes the gate look more closely.
    calm, known = pictures(footage.calm[0].path, 1), pictures(footage.known)
    making = progress.add_task("encoding", total=len(given.patterns))
    streams = {}
    for name in given.patterns:
        streams[name] = hidden_stream(PATTERNS[name], calm, known)
        progress.advance(making)
    reports: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        banks = Path(folder) / "banks"
        bank = Bank.create(banks / "known", BankInfo(label="known_footage", runaway_streams=0))
        bank.add_footage([fingerprint(footage.known, entry_id="known", added_ms=0)])
        for word in given.situations:
            situation = SITUATIONS[word]
            directory = Path(folder) / word
            directory.mkdir()
            (directory / "banks").symlink_to(banks)
            task = progress.add_task(word, total=situation.streams * len(streams))
            config = f'log_level = "warning"\n{situation.config}{_LIMITS}'
            with GateProcess(directory, config=config) as gate:
                _set_looks(gate, situation.looks if not given.no_looks else _NO_LOOKS)
                done = functools.partial(progress.advance, task)
                times, failed = asyncio.run(run_round(gate, situation, streams, done))
            reports[word] = report(situation, times, failed)
    return reports


_NO_LOOKS = {"new_ms": 0, "low_ms": 0, "raised_ms": 0, "high_ms": 0}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks evade",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--patterns", nargs="+", choices=PATTERNS, default=list(PATTERNS), metavar="NAME")
    parser.add_argument("--situations", nargs="+", choices=SITUATIONS, default=list(SITUATIONS))
    parser.add_argument("--no-looks", action="store_true", help="sample calm streams at keyframes only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:10}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            reports = run(given, progress)
    except NotFound as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if given.json:
        print(json.dumps(reports))
    else:
        for word, figures in reports.items():
            print(f"{word}: {figures['time_to_cut_s']}, not cut: {', '.join(figures['not_cut']) or 'none'}")
            for name, each in figures["patterns"].items():
                print(f"  {name:24} {each}")
    return 1 if any(figures["not_cut"] or figures["failed"] for figures in reports.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
