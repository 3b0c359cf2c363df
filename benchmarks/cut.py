"""Time to cut: from the first violating frame leaving the publisher to its connection closing.

    python -m benchmarks cut --server nginx-rtmp --workers 4 --trials 200 --reconnects 1000 --json

A real gate and a real ingest server with real footage, calm first, in real time. The parts of a trial
follow one another. ``seen_ms`` lasts until the deciding sample arrived at the gate, ``verdict_ms`` from
there to the verdict, ``durable_ms`` until strike and block were on disk, ``cut_asked_ms`` until the cut was
asked for. ``verdict_to_closed_ms`` is from the verdict to the closed connection. ``leaked_ms`` is how much
violating footage viewers got, ``withheld_ms`` how much of the calm footage before it they did not get.
``--concurrency 1`` gives each trial the whole machine.

With ``--reconnects`` a cut broadcaster publishes again and again after the trials, in four loops, each
attempt at once after the one before. How many get in?
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks._cut_servers import RELAY_MODES, SERVERS, Server, server_of
from benchmarks._percentiles import percentiles
from benchmarks._reconnects import reconnects
from benchmarks.servers.flv_publisher import publish
from edge.api.auth import Role
from edge.cli.demo_footage import demo_footage, shared_data
from edge.cli.operator_client import GateConnection
from edge.contract.gen import operator_pb2
from edge.errors import GateError, NotFound, PublishRejected
from edge.gate_process import ENFORCING, GateProcess
from edge.ingest.test_footage import RATE, Part, write_programme
from edge.match import Bank, BankInfo, fingerprint

PARTS = ("seen_ms", "verdict_ms", "durable_ms", "cut_asked_ms", "verdict_to_closed_ms")
CALM_MS = (3_000, 3_360, 3_720, 4_080, 4_480)
"""Lengths of the calm part, in milliseconds. The violation begins at five places of the two-second GOP."""
VIOLATING_MS = 10_000
_INCIDENT_WAIT_S = 10.0
_PATIENCE = 2


class NoVerdict(Exception):
    """The gate was too busy to admit the publish or to judge it."""


@dataclass(frozen=True, slots=True)
class Programme:
    path: Path
    violation_ms: int


async def trial(
    server: Server, gate: GateProcess, programme: Programme, name: str, mode: str
) -> tuple[dict[str, float], str]:
    """Publishes once until the cut. Returns its times, and what proved it.

    Raises NotFound when no proven cut followed a verdict, NoVerdict when there was no verdict.
    """
    async with server.watched(name, mode) as newest_pts_ms:
        try:
            published = await publish(programme.path, server.url(name, mode), programme.violation_ms)
        except (ConnectionResetError, PublishRejected) as error:
            raise NoVerdict(f"not let in: {error}") from None
        incident = await asyncio.to_thread(_incident, gate, name, published.closed_ms is None)
        # viewers still get what was in transit
        await asyncio.sleep(0.3)
        shown_ms = newest_pts_ms()
    if published.left_ms is None:
        raise NoVerdict("closed before the violation")
    if incident is None:
        raise NotFound("proven incident", name)
    if published.closed_ms is None:
        raise NoVerdict("decided when all had been shown")
    verdict_ms = float(incident.created_wall_ms)
    arrived_ms = verdict_ms - incident.verdict.latency_ms
    times = {
        "time_to_cut_ms": published.closed_ms - published.left_ms,
        "seen_ms": arrived_ms - published.left_ms,
        "verdict_ms": incident.verdict.latency_ms,
        "durable_ms": incident.durable_wall_ms - verdict_ms,
        "cut_asked_ms": float(incident.cut_asked_wall_ms - incident.durable_wall_ms),
        "verdict_to_closed_ms": published.closed_ms - verdict_ms,
        "leaked_ms": float(max(0, shown_ms + 1000 // RATE - programme.violation_ms)),
        "withheld_ms": float(max(0, programme.violation_ms - shown_ms - 1000 // RATE)),
    }
    return times, incident.confirmed_by


def _incident(gate: GateProcess, broadcaster: str, published_all: bool) -> operator_pb2.Incident | None:
    """Returns the incident of a proven cut, or None when there is none in time.

    Raises NoVerdict when all was published and there is no incident at all.
    """
    deadline = time.monotonic() + _INCIDENT_WAIT_S
    with GateConnection(gate.grpc, gate.tokens).operator(Role.VIEWER) as (stub, metadata):
        request = operator_pb2.ListIncidentsRequest(broadcaster=broadcaster)
        while time.monotonic() < deadline:
            found = stub.ListIncidents(request, metadata=metadata, timeout=10).incidents
            if published_all and not found:
                raise NoVerdict("the violation was shown to its end, and nothing was decided")
            for incident in found:
                if incident.durable_wall_ms and incident.cut_confirmed_wall_ms:
                    return incident
            time.sleep(0.05)
    return None


async def measure(
    server: Server,
    gate: GateProcess,
    programmes: list[Programme],
    trials: int,
    concurrency: int,
    again: int,
) -> dict[str, Any]:
    """Publishes until ``trials`` a mode got their verdict, ``concurrency`` at a time; ``again`` reconnects.

    Publishes that a busy machine does not admit or judge are counted apart, and tried again under another
    name.
    """
    results: dict[str, list[dict[str, float]]] = {mode: [] for mode in server.modes}
    confirmed_by: Counter[str] = Counter()
    console = Console(stderr=True)
    wanted = trials * len(server.modes)
    numbers = itertools.count()
    cut_name: dict[str, str] = {}
    verdicts = no_verdict = running = 0

    async def publisher() -> None:
        nonlocal verdicts, no_verdict
        while verdicts + running < wanted and no_verdict < _PATIENCE * wanted:
            await one(next(numbers))

    async def one(number: int) -> None:
        nonlocal verdicts, no_verdict, running
        mode = server.modes[number % len(server.modes)]
        programme, name = programmes[number // len(server.modes) % len(programmes)], f"{mode}-{number}"
        running += 1
        try:
            times, by = await trial(server, gate, programme, name, mode)
        except NoVerdict as error:
            no_verdict += 1
            console.print(f"{name}: {error}")
            return
        except (OSError, TimeoutError, GateError) as error:
            console.print(f"{name}: {type(error).__name__}: {error}")
        else:
            results[mode].append(times)
            confirmed_by[by] += 1
            cut_name.setdefault(mode, name)
        finally:
            running -= 1
        verdicts += 1
        progress.advance(task)

    async with AsyncExitStack() as stack:
        await server.start(gate, stack)
        progress = Progress(console=console, disable=not console.is_terminal, transient=True)
        with progress:
            task = progress.add_task("cut", total=wanted)
            await asyncio.gather(*(publisher() for _ in range(concurrency)))
            returned = None
            if again and cut_name:
                mode, name = next(iter(cut_name.items()))
                url, path = server.url(name, mode), programmes[0].path
                returned = await reconnects(
                    gate, url, path, again, asks_first=server.asks_first, progress=progress
                )
    every = [result for of_mode in results.values() for result in of_mode]
    viewers = {
        name: {
            mode: percentiles([result[name] for result in results[mode]]) if mode in results else None
            for mode in RELAY_MODES
        }
        for name in ("leaked_ms", "withheld_ms")
    }
    return {
        "trials": verdicts,
        "confirmed": len(every),
        "confirmed_by": dict(confirmed_by),
        "no_verdict": no_verdict,
        **{name: percentiles([result[name] for result in every]) for name in ("time_to_cut_ms", *PARTS)},
        **viewers,
        **({} if returned is None else {"reconnects": returned}),
    }


def _set_budget(gate: GateProcess, budget_ms: int) -> None:
    with GateConnection(gate.grpc, gate.tokens).operator(Role.ADMIN) as (stub, metadata):
        policy = json.loads(stub.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=metadata).json)
        text = json.dumps({**policy, "budget_ms": budget_ms})
        stub.SetPolicy(operator_pb2.SetPolicyRequest(json=text, reason="benchmark"), metadata=metadata)


def prepare(directory: Path, trigger: str) -> list[Programme]:
    """Makes programmes with the violation at different places of the GOP, and the bank where it is the
    trigger."""
    if trigger == "detector":
        shared = shared_data()
        if shared is None:
            raise NotFound("footage", "../shared/data (use --trigger match)")
        footage = demo_footage(None, shared)
    else:
        footage = demo_footage(None, None)
        assert footage.known is not None
        bank = Bank.create(
            directory / "gate" / "banks" / "known", BankInfo(label="known_footage", runaway_streams=0)
        )
        bank.add_footage([fingerprint(footage.known, entry_id="known", added_ms=0)])
    programmes = []
    for calm_ms in CALM_MS:
        calm = Part(footage.calm[0].path, calm_ms)
        violating = _first(footage.violating, VIOLATING_MS)
        path = directory / f"{calm_ms}.flv"
        write_programme((calm, *violating), path, keyframe_at_parts=False)
        programmes.append(Programme(path, calm_ms))
    return programmes


def _first(parts: tuple[Part, ...], duration_ms: int) -> list[Part]:
    taken: list[Part] = []
    for part in parts:
        left_ms = duration_ms - sum(each.duration_ms for each in taken)
        if left_ms > 0:
            taken.append(Part(part.path, min(part.duration_ms, left_ms), part.start_ms))
    return taken


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks cut",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", choices=SERVERS, default="reference")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of nginx (1)")
    parser.add_argument(
        "--trigger", choices=("detector", "match"), default="match", help="what must find the violation"
    )
    parser.add_argument("--trials", type=int, default=10, help="publishes a relay mode (10)")
    parser.add_argument("--concurrency", type=int, default=4, help="publishes at a time (4)")
    parser.add_argument(
        "--budget-ms",
        type=int,
        help="the policy's verdict budget (its default); more where the machine is too busy to judge in time",
    )
    parser.add_argument("--reconnects", type=int, default=0, help="publishes after the cut (0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if min(given.workers, given.trials, given.concurrency) < 1 or given.reconnects < 0:
        parser.error("--workers, --trials and --concurrency are at least 1, --reconnects at least 0")
    if given.workers > 1 and given.server != "nginx-rtmp":
        parser.error("--workers is for nginx-rtmp")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        try:
            server = server_of(given.server, directory, given.workers)
            programmes = prepare(directory, given.trigger)
        except NotFound as error:
            print(error, file=sys.stderr)
            return 2
        with GateProcess(
            directory / "gate", config='log_level = "warning"\n' + server.config(), policy=ENFORCING
        ) as gate:
            if given.budget_ms is not None:
                _set_budget(gate, given.budget_ms)
            result = {
                "server": given.server,
                **({"workers": given.workers} if given.server == "nginx-rtmp" else {}),
                "trigger": given.trigger,
                "concurrency": given.concurrency,
                **({} if given.budget_ms is None else {"budget_ms": given.budget_ms}),
                **asyncio.run(
                    measure(server, gate, programmes, given.trials, given.concurrency, given.reconnects)
                ),
            }
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:22} {value}")
    got_in = result["reconnects"]["got_in"] if given.reconnects and result["confirmed"] else 0
    whole = result["trials"] >= given.trials and result["confirmed"] == result["trials"]
    return 0 if whole and not got_in else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
