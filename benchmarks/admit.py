"""Latency of Admit under load: a real gate, real gRPC, blocks in the ledger, paced callers.

    python -m benchmarks admit --rate 500 --seconds 20 --blocks 1000000 --json

``start_ms`` is the start time of the gate with those blocks. ``resident_mb`` is the memory of the process
that answers; its workers hold no blocks.
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
import sqlalchemy as sa
from rich.console import Console
from rich.progress import Progress

from benchmarks._admit_load import admit_load
from benchmarks._percentiles import percentiles
from edge.clock import SystemClock
from edge.contract.gen import gate_pb2
from edge.domain import SubjectKind, new_id
from edge.gate_process import GateProcess
from edge.ledger import DurableLedger
from edge.ledger.tables import blocks as blocks_table

DAY_MS = 86_400_000
_BATCH = 20_000


def seed_blocks(data_dir: Path, count: int, console: Console) -> None:
    """Writes ``count`` blocks of broadcasters ``blocked0`` … to the ledger that the gate will open.

    The ledger itself writes the first ones, with their audit entries. The others are inserted as rows,
    because a million transactions would take hours.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{data_dir / 'edge.db'}"
    ledger = DurableLedger.open(url, data_dir / "journal.jsonl")
    now = SystemClock().wall_ms()
    ledger.add_block(SubjectKind.BROADCASTER, "blocked0", "", 30 * DAY_MS, "benchmark", "benchmark", now)
    ledger.close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        model = dict(connection.execute(sa.select(blocks_table)).mappings().one())
    progress = Progress(console=console, disable=not console.is_terminal, transient=True)
    with progress, engine.begin() as connection:
        task = progress.add_task("blocks", total=count)
        for start in range(1, count, _BATCH):
            rows = [
                {**model, "id": new_id("bl"), "subject": f"blocked{index}"}
                for index in range(start, min(start + _BATCH, count))
            ]
            connection.execute(blocks_table.insert(), rows)
            progress.update(task, completed=start + len(rows))
    engine.dispose()


async def measure(
    gate: GateProcess, rate: int, seconds: float, blocks: int, share: float
) -> dict[str, object]:
    """Calls Admit at a fixed rate. Returns latencies in milliseconds."""
    source = random.Random(1)
    total = int(rate * seconds)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("admit", total=total)

        def going_on(number: int) -> bool:
            if number % rate == 0:
                progress.update(task, completed=number)
            return number <= total

        async with grpc.aio.insecure_channel(gate.grpc) as channel:
            load = await admit_load(
                channel, rate, going_on, lambda number: request(number, source, blocks, share)
            )
    return {
        "calls": len(load.answers),
        "failed": load.failed,
        "refused": load.refused,
        "rate": round(len(load.answers) / load.elapsed_s, 1),
        "blocks": blocks,
        "admit_ms": percentiles([latency for _, latency, _ in load.answers], (50, 95, 99, 99.9)),
        "resident_mb": {
            "supervisor": resident_mb(gate.pid),
            "peak": resident_mb(gate.pid, "VmHWM"),
        },
    }


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Returns the memory of one process in MiB, from ``/proc``; 0.0 where there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = next((line for line in lines if line.startswith(f"{field}:")), "0 0")
    return round(int(found.split()[1]) / 1024, 1)


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
        if given.blocks:
            seed_blocks(data_dir, given.blocks, Console(stderr=True))
        limits = (
            "[limits]\nmax_streams = 100000\nmax_streams_per_client = 100000\nunwatched_ms = 2000\n"
            "[workers]\ncount = 1\n"
        )
        began = time.monotonic()
        with GateProcess(data_dir, config=limits) as gate:
            start_ms = round((time.monotonic() - began) * 1000)
            result = asyncio.run(measure(gate, given.rate, given.seconds, given.blocks, given.blocked_share))
            result["start_ms"] = start_ms
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:10} {value}")
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
