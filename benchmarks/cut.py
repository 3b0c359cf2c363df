"""Time to cut: from the first violating frame leaving the publisher to its connection closing.

python -m benchmarks cut --server reference --trials 20 --trigger match --json

A real gate, a real ingest server and real footage, calm first, in real time. The parts of each
trial follow one another: ``seen_ms`` until the sample that decided had arrived at the gate,
``verdict_ms`` from there to the verdict, then ``durable_ms`` until strike and block were on disk,
``cut_asked_ms`` until the cut was asked for; ``verdict_to_closed_ms`` is from the verdict to the
closed connection. ``leaked_ms`` is how much violating footage viewers got, ``withheld_ms`` how much
of the calm footage before it they did not get.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import av
from rich.console import Console
from rich.progress import Progress

from benchmarks._percentiles import percentiles
from benchmarks.servers.flv_publisher import publish
from benchmarks.servers.nginx_rtmp import NginxRtmp
from benchmarks.servers.nginx_rtmp import available as nginx_available
from edge.api.auth import Role
from edge.api.gen import operator_pb2
from edge.cli.demo_footage import demo_footage, shared_data
from edge.cli.operator_client import operator
from edge.errors import GateError, NotFound
from edge.ingest import IngestSettings, ReferenceIngest
from edge.ingest.programme import RATE, Part, write_programme
from edge.launch import GateProcess
from edge.match import Bank, BankInfo, fingerprint

PARTS = ("seen_ms", "verdict_ms", "durable_ms", "cut_asked_ms", "verdict_to_closed_ms")
CALM_MS = (3_000, 3_360, 3_720, 4_080, 4_480)
"""Lengths of the calm part: the violation begins at five places of the two-second GOP."""
VIOLATING_MS = 10_000
_INCIDENT_WAIT_S = 10.0
_VIEWER = """
import sys, av
newest = -1.0
try:
    with av.open(sys.argv[1], options={"analyzeduration": "1", "probesize": "32"}, timeout=20) as viewer:
        print("open", flush=True)
        for packet in viewer.demux(video=0):
            if packet.pts is not None:
                newest = max(newest, float(packet.pts * packet.time_base))
                print(newest, flush=True)
except (av.error.FFmpegError, OSError):
    pass
"""


@dataclass(frozen=True, slots=True)
class Programme:
    path: Path
    violation_ms: int


class Server(Protocol):
    """An ingest server with viewers."""

    modes: tuple[str, ...]

    def url(self, name: str, mode: str) -> str: ...

    def watched(self, name: str, mode: str) -> Any:
        """An async context in which viewers watch; it yields a call for the newest pts they got, ms."""
        ...


class Reference:
    """Two reference ingests on one gate: one passes media on directly, one holds it back."""

    modes: tuple[str, ...] = ("direct", "hold_back")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ingests: dict[str, ReferenceIngest] = {}

    async def start(self, gate: GateProcess, stack: AsyncExitStack) -> None:
        for mode in self.modes:
            relay = str(self._directory / mode / "{name}.flv")
            settings = IngestSettings(port=0, gate=gate.grpc, relay=relay, hold_back=mode == "hold_back")
            self._ingests[mode] = ReferenceIngest(settings)
            await self._ingests[mode].start()
            stack.push_async_callback(self._ingests[mode].stop)

    def url(self, name: str, mode: str) -> str:
        return f"rtmp://127.0.0.1:{self._ingests[mode].port}/live/{name}?user={name}"

    @asynccontextmanager
    async def watched(self, name: str, mode: str) -> AsyncIterator[Any]:
        yield lambda: _newest_pts_ms(self._directory / mode / f"{name}.flv")


class Nginx:
    """nginx-rtmp with the shipped configuration and one viewer; it has no hold-back."""

    modes: tuple[str, ...] = ("direct",)

    def __init__(self, directory: Path) -> None:
        self.nginx = NginxRtmp(directory / "nginx")

    async def start(self, gate: GateProcess, stack: AsyncExitStack) -> None:
        stack.enter_context(self.nginx)
        self.nginx.start(gate.http)

    def url(self, name: str, mode: str) -> str:
        return self.nginx.url(name, f"user={name}")

    @asynccontextmanager
    async def watched(self, name: str, mode: str) -> AsyncIterator[Any]:
        viewer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _VIEWER, self.nginx.url(name), stdout=asyncio.subprocess.PIPE
        )
        assert viewer.stdout is not None
        newest = -1.0

        async def read() -> None:
            nonlocal newest
            assert viewer.stdout is not None
            async for line in viewer.stdout:
                if line.strip() != b"open":
                    newest = float(line) * 1000

        reading = asyncio.create_task(read())
        try:
            yield lambda: round(newest)
        finally:
            if viewer.returncode is None:
                viewer.kill()
            await viewer.wait()
            await reading


def _newest_pts_ms(path: Path) -> int:
    """Newest presentation time in a relayed file; -1 when nothing was relayed."""
    if not path.is_file():
        return -1
    with av.open(str(path)) as container:
        stamps = [p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None and p.time_base]
    return round(max(stamps, default=-1) * 1000)


async def trial(
    server: Server, gate: GateProcess, programme: Programme, name: str, mode: str
) -> dict[str, float] | None:
    """One publish until it is cut; its times, or None when it was not cut and proven."""
    async with server.watched(name, mode) as newest_pts_ms:
        published = await publish(programme.path, server.url(name, mode), programme.violation_ms)
        incident = await asyncio.to_thread(_incident, gate, name)
        # viewers still get what was on its way
        await asyncio.sleep(0.3)
        shown_ms = newest_pts_ms()
    if incident is None or published.left_ms is None or published.closed_ms is None:
        return None
    verdict_ms = float(incident.created_wall_ms)
    arrived_ms = verdict_ms - incident.verdict.latency_ms
    return {
        "time_to_cut_ms": published.closed_ms - published.left_ms,
        "seen_ms": arrived_ms - published.left_ms,
        "verdict_ms": incident.verdict.latency_ms,
        "durable_ms": incident.durable_wall_ms - verdict_ms,
        "cut_asked_ms": float(incident.cut_asked_wall_ms - incident.durable_wall_ms),
        "verdict_to_closed_ms": published.closed_ms - verdict_ms,
        "leaked_ms": float(max(0, shown_ms + 1000 // RATE - programme.violation_ms)),
        "withheld_ms": float(max(0, programme.violation_ms - shown_ms - 1000 // RATE)),
    }


def _incident(gate: GateProcess, broadcaster: str) -> operator_pb2.Incident | None:
    """The incident of a proven cut; None when there is none in time."""
    deadline = time.monotonic() + _INCIDENT_WAIT_S
    with operator(gate.grpc, gate.tokens, None, Role.VIEWER) as (stub, metadata):
        request = operator_pb2.ListIncidentsRequest(broadcaster=broadcaster)
        while time.monotonic() < deadline:
            for incident in stub.ListIncidents(request, metadata=metadata, timeout=10).incidents:
                if incident.durable_wall_ms and incident.cut_confirmed_wall_ms:
                    return incident
            time.sleep(0.05)
    return None


async def measure(
    server: Reference | Nginx, gate: GateProcess, programmes: list[Programme], trials: int
) -> dict[str, Any]:
    """``trials`` publishes a mode, one after another."""
    results: dict[str, list[dict[str, float]]] = {mode: [] for mode in server.modes}
    failed = 0
    console = Console(stderr=True)
    async with AsyncExitStack() as stack:
        await server.start(gate, stack)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("cut", total=trials * len(server.modes))
            for number in range(trials):
                for mode in server.modes:
                    programme = programmes[number % len(programmes)]
                    try:
                        result = await trial(server, gate, programme, f"{mode}-{number}", mode)
                    except (OSError, TimeoutError, GateError) as error:
                        console.print(f"trial {number} ({mode}): {type(error).__name__}: {error}")
                        result = None
                    if result is None:
                        failed += 1
                    else:
                        results[mode].append(result)
                    progress.advance(task)
    every = [result for of_mode in results.values() for result in of_mode]
    viewers = {
        name: {
            mode: percentiles([result[name] for result in results[mode]]) if mode in results else None
            for mode in Reference.modes
        }
        for name in ("leaked_ms", "withheld_ms")
    }
    return {
        "trials": trials * len(server.modes),
        "confirmed": len(every),
        "not_cut_or_not_proven": failed,
        **{name: percentiles([result[name] for result in every]) for name in ("time_to_cut_ms", *PARTS)},
        **viewers,
    }


def prepare(directory: Path, trigger: str) -> list[Programme]:
    """Programmes with the violation at different places of the GOP; the bank, where it is the trigger."""
    if trigger == "detector":
        shared = shared_data()
        if shared is None:
            raise NotFound("footage", "../shared/data (use --trigger match)")
        footage = demo_footage(None, shared)
    else:
        footage = demo_footage(None, None)
        assert footage.known is not None
        bank = Bank.create(directory / "gate" / "banks" / "known", BankInfo(label="known_footage"))
        bank.add([fingerprint(footage.known, entry_id="known", added_ms=0)])
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
    parser.add_argument("--server", choices=("reference", "nginx-rtmp"), default="reference")
    parser.add_argument(
        "--trigger", choices=("detector", "match"), default="match", help="what has to find the violation"
    )
    parser.add_argument("--trials", type=int, default=10, help="publishes a relay mode (10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if given.server == "nginx-rtmp" and not nginx_available():
        print("nginx with libnginx-mod-rtmp, or ffmpeg, is not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        try:
            programmes = prepare(directory, given.trigger)
        except NotFound as error:
            print(error, file=sys.stderr)
            return 2
        server = Reference(directory) if given.server == "reference" else Nginx(directory)
        config = 'log_level = "warning"\n'
        if isinstance(server, Nginx):
            config += (
                f'[nginx_rtmp]\ncontrol_url = "{server.nginx.control_url}"\n'
                f'stat_url = "{server.nginx.stat_url}"\npull_url = "{server.nginx.pull_url}"\n'
            )
        with GateProcess(directory / "gate", config=config) as gate:
            result = {
                "server": given.server,
                "trigger": given.trigger,
                **asyncio.run(measure(server, gate, programmes, given.trials)),
            }
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:22} {value}")
    return 0 if result["confirmed"] == result["trials"] else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
