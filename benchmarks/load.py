"""How many streams a machine watches in budget: the real gate over real gRPC or RTMP, paced publishers
beside it.

    python -m benchmarks load --streams 20 --seconds 30 --source FILE --json
    python -m benchmarks load --find-capacity --source FILE --plot latency.svg
    python -m benchmarks load --streams 40 --overload 2 --source FILE
    python -m benchmarks load --streams 28 --soak 3600 --record soak.json --source FILE
    python -m benchmarks load --streams 20 --kill-worker --mode pull --source FILE

`gate_streams_per_core` is streams divided by the CPU seconds that the gate (supervisor and workers) spends
a second, without the publishers' CPU. `limit_streams_per_core` is what the libraries alone would reach.
They decode the same frames and convert, hash and detect the same samples, as many streams at once and each
unit at its time. The same run measures their costs without a gate. `efficiency` is that cost over the
gate's CPU. `efficiency_back_to_back` uses the cost of work that never waits.

Figures are taken after the warm-up, because new streams are sampled densely. `shed` counts due samples
without a verdict; its `gave_way` counts opportunistic ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks._load_cost import GOP_S, BareCost, bare_cost
from benchmarks._load_report import compared, limit_of
from benchmarks._load_run import Run, run_load
from benchmarks._load_search import Found, find_capacity
from benchmarks._media import load_loop
from edge.errors import GateError

_CHURN_S = 20.0
_ALERT_SHARE = 0.1
_STEPS = (0.25, 0.5, 0.75, 1.0)
"""Loads of a plot without a search, as shares of ``--streams``."""

stderr = Console(stderr=True)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--source", type=Path, required=True, help="footage; sent as 1280×720, 30 fps, GOP 2 s")
    made.add_argument("--streams", type=int, default=16, help="streams at once (16)")
    made.add_argument("--seconds", type=float, default=20.0, help="measured time after the warm-up (20)")
    made.add_argument(
        "--warm-up", type=float, default=12.0, help="seconds from the last start until figures are taken (12)"
    )
    made.add_argument(
        "--starts", type=float, default=8.0, metavar="PER_SECOND",
        help="streams that start in a second (8); new streams are sampled densely",
    )  # fmt: skip
    made.add_argument(
        "--mode", choices=("push", "pull"), default="push", help="pull: nginx-rtmp, the gate pulls (push)"
    )
    made.add_argument(
        "--no-looks", action="store_true", help="do not look at calm streams between their keyframes"
    )
    made.add_argument("--publishers", type=int, default=1, help="processes of callers (1)")
    made.add_argument("--every-unit", action="store_true", help="push all media, whatever the gate needs")
    made.add_argument(
        "--alert-streams", type=int, default=0, help="how many of the streams stay in alert (0)"
    )
    made.add_argument(
        "--find-capacity", action="store_true", help="search the highest number of streams in budget"
    )
    made.add_argument(
        "--overload",
        type=float,
        metavar="FACTOR",
        help="so many times --streams, which the box should hold once; a tenth of them in alert",
    )
    made.add_argument(
        "--kill-worker", action="store_true", help="SIGKILL one worker after a third of the measured time"
    )
    made.add_argument(
        "--churn", nargs="?", type=float, const=_CHURN_S, default=0.0, metavar="SECONDS",
        help=f"streams end after so long on average, and others begin ({_CHURN_S:.0f}); push mode",
    )  # fmt: skip
    made.add_argument(
        "--soak",
        type=float,
        metavar="SECONDS",
        help="measure for so long, with churn, and report memory growth and what is left behind",
    )
    made.add_argument("--plot", type=Path, metavar="FILE", help="latency over load, as .svg or .png")
    made.add_argument(
        "--bank",
        type=int,
        default=100_000,
        metavar="HASHES",
        help="known footage that every sample is looked up in (100000); 0: none, and the gate hashes nothing",
    )
    made.add_argument(
        "--record", type=Path, metavar="FILE",
        help="also write the JSON object to this file, and interim figures while it runs",
    )  # fmt: skip
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def main(argv: list[str]) -> int:
    options = parser()
    given = options.parse_args(argv)
    if given.streams < 1 or given.publishers < 1 or given.seconds <= 0 or given.starts <= 0:
        options.error("--streams, --publishers, --seconds and --starts must be positive")
    if given.plot is not None and given.plot.suffix not in {".svg", ".png", ".pdf"}:
        options.error(f"--plot {given.plot}: the name must end in .svg, .png or .pdf")
    if not given.source.is_file():
        options.error(f"--source {given.source}: no such file")
    if given.mode == "pull" and (given.churn or given.soak):
        options.error("--churn and --soak are for --mode push")
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # both signals end it in order
    try:
        result, trials = _measure(given)
    except KeyboardInterrupt:
        stderr.print("stopped")
        return 130
    except (GateError, RuntimeError) as error:
        stderr.print(f"[red]{error}[/]", highlight=False)
        return 1
    if given.record is not None:
        given.record.write_text(json.dumps({"complete": True, **result}), encoding="utf-8")
    if given.plot is not None:
        from benchmarks._load_plot import plot

        plot(trials, given.plot)
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24} {value}")
    return 0


def _measure(given: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with stderr.status("encoding the source"):
        loop = load_loop(given.source)
    with stderr.status("bare library cost"):
        cost = bare_cost(loop, given.bank)
    streams = given.streams if given.overload is None else round(given.overload * given.streams)
    alert = given.alert_streams
    if given.overload is not None and not alert:
        alert = max(1, round(_ALERT_SHARE * streams))
    run = Run(
        loop,
        streams,
        given.soak or given.seconds,
        publishers=given.publishers,
        pull=given.mode == "pull",
        honour_tiers=not given.every_unit,
        looks=not given.no_looks,
        warm_up_s=given.warm_up,
        starts_per_s=given.starts,
        alert_streams=alert,
        admit_all=given.overload is not None,
        churn_s=given.churn or (_CHURN_S if given.soak else 0.0),
        kill_worker=given.kill_worker,
        watch_leaks=given.soak is not None,
        record=given.record,
        bank=given.bank,
    )

    def trial(streams: int) -> dict[str, Any]:
        return _shown(dataclasses.replace(run, streams=streams), cost)

    if given.find_capacity:
        found = find_capacity(trial, _guess(cost))
        return _of_search(found), found.trials
    if given.plot is not None:
        trials = [trial(max(1, round(share * streams))) for share in _STEPS]
        return trials[-1], trials
    result = trial(streams)
    return result, [result]


def _shown(run: Run, cost: BareCost) -> dict[str, Any]:
    """Runs once, with a bar and a line of results."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("starting the gate", total=1.0)

        def show(what: str, share: float) -> None:
            bar.update(task, description=f"{run.streams} streams: {what}", completed=share)

        show("bare library cost at this load", 0.0)
        paced = bare_cost(run.loop, run.bank, run.streams)
        result = compared(run_load(run, show), cost, paced)
    latency = result["latency_ms"]
    stderr.print(
        f"{run.streams} streams: p50 {latency.get('p50')} p99 {latency.get('p99')} ms, "
        f"efficiency {result['efficiency']} ({result['efficiency_back_to_back']} back to back), "
        f"{limit_of(result) or 'all in budget'}",
        highlight=False,
    )
    return result


def _guess(cost: BareCost) -> int:
    """Returns half of what the cores would hold if the gate cost nothing, because callers share them."""
    a_second = cost.of(1, 7, 1) / GOP_S
    return max(1, round(0.5 * (os.cpu_count() or 1) / a_second))


def _of_search(found: Found) -> dict[str, Any]:
    tried = [
        {"streams": trial["streams"], "p99_ms": trial["latency_ms"].get("p99"), "limit": limit_of(trial)}
        for trial in found.trials
    ]
    return {**found.best, "limited_by": found.limited_by, "trials": tried}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
