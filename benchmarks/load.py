"""How many streams a box watches in budget: the real gate over real gRPC, paced publishers beside it.

    python -m benchmarks load --streams 20 --seconds 30 --source FILE --json
    python -m benchmarks load --find-capacity --source FILE

`gate_streams_per_core` is streams divided by the CPU seconds that the gate (supervisor and workers)
spends a second; the publishers' CPU is not the gate's. `limit_streams_per_core` is the bare library cost
of the same decode, convert, hash and detect without a gate around it, measured in the same run, and
`efficiency` is the gate's share of it.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks._media import Loop, load_loop
from benchmarks._percentiles import percentiles
from benchmarks._publishers import Plan
from edge.detect import Detector, default_model_directory
from edge.domain import AccessUnit, Codec
from edge.launch import GateProcess
from edge.match import PdqHasher
from edge.stream import Decoder

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
WARM_UP_S = 8.0
"""New streams are watched densely at first; figures are taken after that."""

stderr = Console(stderr=True)


def processes_of(pid: int) -> list[int]:
    """The gate's process and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MiB of the gate."""
    seconds = resident = 0.0
    for process in processes_of(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            seconds += (int(fields[11]) + int(fields[12])) / TICKS
            resident += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE / 2**20
        except OSError:
            continue
    return seconds, resident


def bare_cost(loop: Loop, burst_ms: int, repeat_s: float = 4.0) -> float:
    """CPU seconds a calm stream-second costs with the libraries alone: decode a keyframe and the frames
    after it, three conversions, one inference, one hash."""
    detector = Detector.load(default_model_directory())
    hasher = PdqHasher()
    height, width = detector.input_size
    planes = np.zeros((3, height, width), np.uint8)
    bursts: list[list[AccessUnit]] = []
    start_ms = 0
    for unit in loop.units:
        if unit.keyframe:
            bursts.append([])
            start_ms = unit.pts_ms
        if unit.pts_ms - start_ms <= burst_ms:
            bursts[-1].append(AccessUnit(unit.pts_ms, unit.dts_ms, unit.keyframe, unit.data, arrival_ms=0.0))
    decoder = Decoder(Codec(loop.codec), loop.extradata)
    start = time.process_time()
    laps = 0
    while time.process_time() - start < repeat_s:
        for burst in bursts:
            decoder.restart()
            frames = [frame for unit in burst for frame in decoder.decode(unit)]
            for index, frame in enumerate((frames[0], frames[len(frames) // 2], frames[-1])):
                planes[index] = detector.plane(frame)
            hasher.hash(decoder.luma(frames[-1]))
            detector.infer(planes)
        laps += 1
    return (time.process_time() - start) / (laps * loop.duration_ms / 1000)


def run_load(
    loop: Loop, streams: int, seconds: float, publishers: int, *, honour_tiers: bool
) -> dict[str, Any]:
    """One run of the whole gate with ``streams`` publishers."""
    config = f"[limits]\nmax_streams = {streams + 8}\n"
    with tempfile.TemporaryDirectory() as folder, GateProcess(Path(folder), config=config) as gate:
        start_at = time.time() + 2.0
        names = [f"stream{number}" for number in range(streams)]
        children = []
        for number in range(publishers):
            child = subprocess.Popen(
                [sys.executable, "-c", "from benchmarks._publishers import main; raise SystemExit(main())"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            share = tuple(names[number::publishers])
            plan = Plan(gate.grpc, loop, share, start_at, WARM_UP_S + seconds, number, honour_tiers)
            assert child.stdin is not None
            pickle.dump(plan, child.stdin)
            child.stdin.close()
            child.stdin = None
            children.append(child)
        time.sleep(max(0.0, start_at + WARM_UP_S - time.time()))
        before, _ = usage(gate.pid)
        wall = time.monotonic()
        time.sleep(max(0.0, start_at + WARM_UP_S + seconds - 0.5 - time.time()))
        after, resident = usage(gate.pid)
        elapsed = time.monotonic() - wall
        tallies = []
        for child in children:
            out, _ = child.communicate(timeout=60)
            tallies += [json.loads(line) for line in out.splitlines()]
    latencies = [value for tally in tallies for value in tally["latencies_ms"]]
    shed: Counter[str] = Counter()
    for tally in tallies:
        shed.update(tally["not_judged"])
    verdicts = sum(tally["verdicts"] for tally in tallies)
    cpu_s = after - before
    return {
        "streams": streams,
        "seconds": round(elapsed, 2),
        "samples": verdicts + shed.get("late", 0) + shed.get("superseded", 0) + shed.get("queue_full", 0),
        "verdicts": verdicts,
        "shed": dict(shed),
        "late": sum(value > 250 for value in latencies),
        "failed": Counter(tally["failed"] for tally in tallies if tally["failed"]),
        "cut": sum(tally["cut"] for tally in tallies),
        "latency_ms": percentiles(latencies, (50, 95, 99, 99.9)),
        "blind_ms_max": max((tally["blind_ms_max"] for tally in tallies), default=0),
        "cpu_s": round(cpu_s, 3),
        "rss_mb": round(resident, 1),
        "gate_streams_per_core": round(streams / (cpu_s / elapsed), 2) if cpu_s else 0.0,
    }


def in_budget(result: dict[str, Any], budget_ms: float = 250.0) -> bool:
    return not result["shed"] and not result["failed"] and result["latency_ms"].get("p99", 1e9) <= budget_ms


def find_capacity(loop: Loop, seconds: float, publishers: int) -> dict[str, Any]:
    """The highest number of streams that keeps p99 in budget with nothing shed, by doubling then halving."""
    low, best, step = 0, {}, 16
    while True:
        result = run_load(loop, low + step, seconds, publishers, honour_tiers=True)
        stderr.print(f"{low + step} streams: {result['latency_ms']} shed {result['shed']}", highlight=False)
        if in_budget(result):
            low, best = low + step, result
            step *= 2
        else:
            break
    while step > 4:
        step //= 2
        result = run_load(loop, low + step, seconds, publishers, honour_tiers=True)
        stderr.print(f"{low + step} streams: {result['latency_ms']} shed {result['shed']}", highlight=False)
        if in_budget(result):
            low, best = low + step, result
    return best


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--streams", type=int, default=16, help="streams at once (16)")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time after the warm-up (20)")
    parser.add_argument(
        "--source", type=Path, required=True, help="calm footage; sent as 1280×720, 30 fps, GOP 2 s"
    )
    parser.add_argument("--publishers", type=int, default=1, help="publisher processes (1)")
    parser.add_argument("--every-unit", action="store_true", help="push all media, whatever the gate needs")
    parser.add_argument(
        "--find-capacity", action="store_true", help="search the highest number of streams in budget"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    with stderr.status("encoding the source"):
        loop = load_loop(given.source)
    with stderr.status("bare library cost"):
        limit = bare_cost(loop, burst_ms=200)
    if given.find_capacity:
        result = find_capacity(loop, given.seconds, given.publishers)
    else:
        with stderr.status(f"{given.streams} streams"):
            result = run_load(
                loop, given.streams, given.seconds, given.publishers, honour_tiers=not given.every_unit
            )
    if result:
        result["limit_streams_per_core"] = round(1 / limit, 2)
        result["efficiency"] = round(result["gate_streams_per_core"] * limit, 3)
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
