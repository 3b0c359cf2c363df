"""How many streams a box watches in budget: the real gate over real gRPC, paced publishers beside it.

    python -m benchmarks load --streams 20 --seconds 30 --source FILE --json
    python -m benchmarks load --find-capacity --source FILE

`gate_streams_per_core` is streams divided by the CPU seconds that the gate (supervisor and workers)
spends a second; the publishers' CPU is not the gate's. `limit_streams_per_core` is what the libraries
alone would reach with the same frames decoded and the same samples converted, hashed and detected, at
costs measured in the same run with no gate around them; `efficiency` is that cost over the gate's CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
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
WARM_UP_S = 14.0
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


@dataclass(frozen=True, slots=True)
class BareCost:
    """CPU seconds of the libraries alone, on one thread."""

    burst_frame_s: float
    """Decode one frame of a calm burst: a keyframe and the few frames after it, averaged."""
    dense_frame_s: float
    """Decode one frame when all are decoded."""
    sample_s: float
    """Three conversions, one inference, one hash."""
    burst_frames: int

    def of(self, decoded: int, judged: int) -> float:
        """What the libraries alone need for as many frames and samples."""
        in_bursts = min(decoded, judged * self.burst_frames)
        return (
            in_bursts * self.burst_frame_s
            + (decoded - in_bursts) * self.dense_frame_s
            + judged * self.sample_s
        )


def bare_cost(loop: Loop, burst_ms: int = 200, repeat_s: float = 3.0) -> BareCost:
    """Measured on the loop itself, in this process, with nothing of the gate around it."""
    units = [AccessUnit(u.pts_ms, u.dts_ms, u.keyframe, u.data, arrival_ms=0.0) for u in loop.units]
    bursts: list[list[AccessUnit]] = []
    start_ms = 0
    for unit in units:
        if unit.keyframe:
            bursts.append([])
            start_ms = unit.pts_ms
        if unit.pts_ms - start_ms <= burst_ms:
            bursts[-1].append(unit)
    decoder = Decoder(Codec(loop.codec), loop.extradata)
    detector = Detector.load(default_model_directory())
    hasher = PdqHasher()
    planes = np.zeros((3, *detector.input_size), np.uint8)
    frames = [frame for unit in bursts[0] for frame in decoder.decode(unit)]

    def decode_bursts() -> int:
        for burst in bursts:
            decoder.restart()
            for unit in burst:
                decoder.decode(unit)
        return sum(map(len, bursts))

    def decode_all() -> int:
        for unit in units:
            decoder.decode(unit)
        return len(units)

    def judge() -> int:
        for index, frame in enumerate((frames[0], frames[len(frames) // 2], frames[-1])):
            planes[index] = detector.plane(frame)
        hasher.hash(decoder.luma(frames[-1]))
        detector.infer(planes)
        return 1

    return BareCost(
        burst_frame_s=_cpu_each(decode_bursts, repeat_s),
        dense_frame_s=_cpu_each(decode_all, repeat_s),
        sample_s=_cpu_each(judge, repeat_s),
        burst_frames=round(sum(map(len, bursts)) / len(bursts)),
    )


def _cpu_each(work: Callable[[], int], repeat_s: float) -> float:
    work()
    start, done = time.process_time(), 0
    while time.process_time() - start < repeat_s:
        done += work()
    return (time.process_time() - start) / done


def gauges(http: str) -> dict[str, int]:
    """Frames decoded and samples judged so far, by the gate's own count."""
    text = httpx.get(f"http://{http}/metrics").text
    found = dict(re.findall(r"^(edge_frames_decoded|edge_samples_judged) (\S+)$", text, re.MULTILINE))
    return {name: int(float(value)) for name, value in found.items()}


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
        work = gauges(gate.http)
        wall = time.monotonic()
        time.sleep(max(0.0, start_at + WARM_UP_S + seconds - 0.5 - time.time()))
        after, resident = usage(gate.pid)
        work = {name: value - work[name] for name, value in gauges(gate.http).items()}
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
        "decoded": work["edge_frames_decoded"],
        "judged": work["edge_samples_judged"],
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
        cost = bare_cost(loop)
    if given.find_capacity:
        result = find_capacity(loop, given.seconds, given.publishers)
    else:
        with stderr.status(f"{given.streams} streams"):
            result = run_load(
                loop, given.streams, given.seconds, given.publishers, honour_tiers=not given.every_unit
            )
    if result:
        bare_s = cost.of(result["decoded"], result["judged"])
        result["limit_streams_per_core"] = round(result["streams"] * result["seconds"] / bare_s, 2)
        result["efficiency"] = round(bare_s / result["cpu_s"], 3)
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
