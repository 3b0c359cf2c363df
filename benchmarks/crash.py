"""kill -9 of the gate between verdict and confirmation: what holds afterwards?

    python -m benchmarks crash --random 200 --json

A real gate runs with a publisher that keeps violating. The gate kills itself at every named point of
``edge.crash_points``, then at random times between a verdict and the confirmation of its cut. It is
restarted each time. Then the broadcaster must be blocked with exactly one strike, and the publisher must be
gone. At nginx-rtmp the cut must also be on record as confirmed.

Each lane uses two ways of publishing in turn: a caller over gRPC, which asks again when the gate is back,
and nginx-rtmp, which does not. To run in parts, use ``--no-named --random 8 --seed N`` with another N each
time.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks._crash_lane import Broken, Lane, Outcome
from benchmarks._percentiles import percentiles
from benchmarks.servers.nginx_rtmp import available
from edge import crash_points
from edge.ingest.test_footage import Part, write_programme
from edge.stream.synthetic import EncodedMedia, encode

_MEDIA_S = 60
_WARM_UP = 3
_SPAN = 1.25
"""Random times reach past the slowest cut of the warm-up by this factor."""


def named(lane: Lane) -> Iterator[Outcome]:
    """Runs a trial at every named point that the lane can reach."""
    if lane.kind == "caller":
        yield from durable(lane)
        yield from away_and_before(lane)
    else:
        for point in (*crash_points.DURABLE, *crash_points.BEFORE_DURABLE):
            yield lane.trial(point)


def durable(lane: Lane) -> Iterator[Outcome]:
    """Runs trials with a caller. Each gate that recovers from one point crashes at the next."""
    for point, following in zip(crash_points.DURABLE, (*crash_points.DURABLE[1:], ""), strict=True):
        yield lane.trial(point, next_spec=following)


def away_and_before(lane: Lane) -> Iterator[Outcome]:
    """Runs trials with a caller at points of the journal, of its replay, and before anything is durable.

    The publisher violates once more in the gate that recovers from the latter. That gate crashes when its
    point is passed for the second time.
    """
    journal = crash_points.JOURNAL_BEFORE_DURABLE
    for point, following in zip(journal, (*journal[1:], "journal.synced"), strict=True):
        yield lane.trial(point, away=True, next_spec=following)
    first, *others = crash_points.BEFORE_DURABLE
    for number, point in enumerate(crash_points.RECONCILE, 1):  # and JOURNAL_DURABLE, which comes before each
        following = first if number == len(crash_points.RECONCILE) else "journal.synced"
        yield lane.trial("journal.synced", away=True, then=point, next_spec=following)
    specs = [first, *(f"{point}:2" for point in others)]
    for spec, following in zip(specs, (*specs[1:], ""), strict=True):
        yield lane.trial(spec, next_spec=following)


def at_random(lane: Lane, source: random.Random, wanted: Callable[[], bool]) -> Iterator[Outcome]:
    """Runs trials at random times after a verdict until no more are ``wanted``."""
    span_ms = _SPAN * max(lane.trial("").verdict_to_confirmed_ms for _ in range(_WARM_UP))
    while wanted():
        yield lane.trial(f"cut.verdict+{source.uniform(0.01, span_ms):.2f}")


def media() -> EncodedMedia:
    """Returns the media that callers push: a minute of a moving square."""
    return encode(frames=25 * _MEDIA_S, fps=25, gop=25)


def write_loop(path: Path, source: Path) -> None:
    """Writes the file that RTMP publishers loop."""
    write_programme((Part(source, 10_000),), path, keyframe_s=1.0)


def _summary(outcomes: list[Outcome]) -> dict[str, Any]:
    after = [outcome.restart_to_gone_ms for outcome in outcomes if outcome.restart_to_gone_ms]
    return {
        "trials": len(outcomes),
        "crashed": sum(outcome.crashed for outcome in outcomes),
        "blocked_with_one_strike": len(outcomes),
        "gone_before_restart": len(outcomes) - len(after),
        "restart_to_gone_ms": percentiles(after),
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks crash",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--random", type=int, default=20, help="crashes at random times (20)")
    parser.add_argument("--lanes", type=int, default=2, help="gates at a time (2)")
    parser.add_argument(
        "--server", choices=("caller", "nginx-rtmp"), help="one way of publishing only (default: both)"
    )
    parser.add_argument("--no-named", action="store_true", help="leave the named points out")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random times (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if given.lanes < 1 or given.random < 0:
        parser.error("--lanes is at least 1, --random at least 0")
    servers = ["caller", "nginx-rtmp"] if given.server is None else [given.server]
    if "nginx-rtmp" in servers and not available():
        print("nginx with libnginx-mod-rtmp (and ffmpeg) is not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = _run(Path(folder), servers, given.random, given.lanes, given.seed, not given.no_named)
        except Broken as error:
            print(error, file=sys.stderr)
            return 1
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:14} {value}")
    return 0


def _run(
    directory: Path, servers: list[str], wanted: int, lanes: int, seed: int, with_named: bool
) -> dict[str, Any]:
    from edge.cli.demo_footage import demo_footage

    pushed, programme = media(), directory / "loop.flv"
    write_loop(programme, demo_footage(None, None).calm[0].path)
    outcomes: dict[str, dict[str, list[Outcome]]] = {
        server: {"named": [], "random": []} for server in servers
    }
    lock = threading.Lock()
    console = Console(stderr=True)
    stopping = threading.Event()
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("crash", total=wanted * len(servers))

        def run(server: str, number: int) -> None:
            lane_directory = directory / f"{server}{number}"

            def more() -> bool:
                with lock:
                    have = sum(outcome.crashed for outcome in outcomes[server]["random"])
                return have < wanted and not stopping.is_set()

            def keep(kind: str, outcome: Outcome) -> None:
                with lock:
                    outcomes[server][kind].append(outcome)
                if kind == "random":
                    progress.advance(task, int(outcome.crashed))

            try:
                with Lane(lane_directory, pushed, programme, nginx=server == "nginx-rtmp") as lane:
                    if with_named and number == 0:
                        for outcome in named(lane):
                            keep("named", outcome)
                    for outcome in at_random(lane, random.Random(seed + number), more):
                        keep("random", outcome)
                    lane.kill()
                    lane.audit()
            except BaseException:
                stopping.set()
                raise

        for server in servers:
            with ThreadPoolExecutor(lanes) as pool:
                for done in [pool.submit(run, server, number) for number in range(lanes)]:
                    done.result()
    return {
        server: {kind: _summary(found) for kind, found in kinds.items()} for server, kinds in outcomes.items()
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
