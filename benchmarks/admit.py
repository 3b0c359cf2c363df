"""Latency of Admit under load: a real gate, real gRPC, blocks in the ledger, paced callers.

python -m benchmarks admit --rate 500 --seconds 20 --blocks 1000 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import grpc
from rich.console import Console
from rich.progress import Progress

from benchmarks._percentiles import percentiles
from edge.api.gen import gate_pb2, gate_pb2_grpc
from edge.clock import SystemClock
from edge.domain import SubjectKind
from edge.launch import GateProcess
from edge.ledger import DurableLedger

DAY_MS = 86_400_000


def seed_blocks(data_dir: Path, count: int) -> None:
    """``count`` blocks of broadcasters ``blocked0`` … in the ledger that the gate will open."""
    data_dir.mkdir(parents=True, exist_ok=True)
    ledger = DurableLedger.open(f"sqlite:///{data_dir / 'edge.db'}", data_dir / "journal.jsonl")
    now = SystemClock().wall_ms()
    for index in range(count):
        ledger.add_block(
            SubjectKind.BROADCASTER, f"blocked{index}", "", 30 * DAY_MS, "benchmark", "benchmark", now
        )
    ledger.close()


async def measure(address: str, rate: int, seconds: float, blocks: int, share: float) -> dict[str, object]:
    """Calls at a fixed rate whether or not answers come (open loop); latencies in milliseconds."""
    latencies: list[float] = []
    refused = failed = 0
    random_source = random.Random(1)

    async with grpc.aio.insecure_channel(address) as channel:
        stub = gate_pb2_grpc.GateStub(channel)
        await stub.Admit(request(0, random_source, blocks, share))

        async def call(number: int, due: float) -> None:
            nonlocal refused, failed
            try:
                answer = await stub.Admit(request(number, random_source, blocks, share), timeout=5)
            except grpc.RpcError:
                failed += 1
                return
            latencies.append((time.perf_counter() - due) * 1000)
            refused += not answer.allowed

        calls: set[asyncio.Task[None]] = set()
        start = time.perf_counter()
        total = int(rate * seconds)
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("admit", total=total)
            for number in range(1, total + 1):
                due = start + number / rate
                delay = due - time.perf_counter()
                if delay > 0:
                    await asyncio.sleep(delay)
                calls.add(running := asyncio.create_task(call(number, time.perf_counter())))
                running.add_done_callback(calls.discard)
                if number % rate == 0:
                    progress.update(task, completed=number)
            await asyncio.gather(*calls)
        elapsed = time.perf_counter() - start
    return {
        "calls": len(latencies),
        "failed": failed,
        "refused": refused,
        "rate": round(len(latencies) / elapsed, 1),
        "blocks": blocks,
        "admit_ms": percentiles(latencies, (50, 95, 99, 99.9)),
    }


def request(number: int, source: random.Random, blocks: int, share: float) -> gate_pb2.AdmitRequest:
    blocked = blocks and source.random() < share
    who = f"blocked{source.randrange(blocks)}" if blocked else f"user{number}"
    return gate_pb2.AdmitRequest(
        server="benchmark",
        connection=f"{number}",
        app="live",
        name=f"stream{number}",
        broadcaster=who,
        address="127.0.0.1",
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks admit", description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="calls a second (500)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long (20)")
    parser.add_argument("--blocks", type=int, default=1000, help="active blocks in the ledger (1000)")
    parser.add_argument("--blocked-share", type=float, default=0.2, help="share of blocked callers (0.2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        seed_blocks(data_dir, given.blocks)
        limits = "[limits]\nmax_streams = 100000\nunwatched_ms = 2000\n[workers]\ncount = 1\n"
        with GateProcess(data_dir, config=limits) as gate:
            result = asyncio.run(
                measure(gate.grpc, given.rate, given.seconds, given.blocks, given.blocked_share)
            )
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:10} {value}")
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
