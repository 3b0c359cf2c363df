"""The console: how soon do people see what was flagged, and what do their pages cost a gate?

    python -m benchmarks console --json

Four real gates on one real PostgreSQL, one of them with a bucket on a real S3 server, and a real Chromium.

flag_to_page    From the commit of an incident until an open page of the queue shows it. One page is open at
                each gate; incidents are committed straight to the ledger, one after another.
first_frame     From opening the page of an incident until the player shows a frame of its clip: from the
                gate's own folder (``local``), from the bucket (``s3``), and from another gate (``relayed``).
queue           An answer to the page of a queue with 10,000 incidents, and to a filter of it, over HTTP:
                while nothing changes, and with a new incident before each request (``changed``).
cost            Processor time of a gate that watches 30 streams, all its processes, with 20 pages open (10
                of the queue, 10 of the live streams) and without, in turn. ``share_percent`` is what the
                pages add. ``late`` counts the samples that were not judged in time.

``load`` is the machine's load average before each part. Above the number of its processors the figures say
little about the console.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import _console_pages as pages
from benchmarks._edges import Edge, Watched
from benchmarks._percentiles import percentiles
from benchmarks.outage import moving
from benchmarks.servers.postgresql import PostgreSql, available
from edge.domain import Action, Codec, Incident, Publish, Verdict, new_id
from edge.evidence import write_clip
from edge.gate_process import GateProcess
from edge.ledger import Ledger, records
from edge.ledger.tables import incidents
from edge.reasons import VerdictReason
from edge.stream.synthetic import encode

PARTS = ("flag_to_page", "first_frame", "queue", "cost")
_PATIENCE_S = 60.0
_LOCK_MS = 20_000
_SECRET = "of the gates of one benchmark alone"
_CONFIG = """
gate_name = "{name}"
ledger_url = "{url}"
[workers]
count = 1
[fleet]
address = "127.0.0.1:0"
secret = "{secret}"
"""
_BUCKET = """
[evidence]
url = "s3://evidence/fleet"
endpoint = "{endpoint}"
credentials = "{keys}"
"""
_LATE = re.compile(r"^edge_not_judged_total(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


@dataclass
class Fleet:
    gates: list[GateProcess]
    folders: list[Path]
    url: str
    bucket: str
    """URL of the bucket's folder."""

    @contextlib.contextmanager
    def ledger(self, gate: int = 0) -> Iterator[Ledger]:
        """The ledger as that gate opens it."""
        ledger = Ledger.open(self.url, gate=f"gate-{gate}", busy_timeout_ms=_LOCK_MS)
        try:
            yield ledger
        finally:
            ledger.close()


def incident(number: int) -> Incident:
    verdict = Verdict(Action.FLAG, 3_000, 2_900, "fight", VerdictReason.DETECTOR, 0.5 + number % 50 / 100)
    publish = Publish("benchmark", f"c{number}", f"app-{number % 7}", f"show-{number}", f"who-{number}")
    return Incident(new_id("in"), new_id("st"), publish, verdict, time.time_ns() // 1_000_000)


@contextlib.contextmanager
def fleet_of_four(folder: Path) -> Iterator[Fleet]:
    from moto.server import ThreadedMotoServer

    with ExitStack() as stack:
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        stack.callback(server.stop)
        endpoint = "http://127.0.0.1:{1}".format(*server.get_host_and_port())
        httpx.put(f"{endpoint}/evidence", timeout=_PATIENCE_S).raise_for_status()
        keys = folder / "keys"
        keys.write_text("AKIAEXAMPLE secret\n")
        keys.chmod(0o600)
        url = stack.enter_context(PostgreSql()).url
        gates, folders = [], []
        for number in range(4):
            config = _CONFIG.format(name=f"gate-{number}", url=url, secret=_SECRET)
            if number == 3:
                config += _BUCKET.format(endpoint=endpoint, keys=keys)
            folders.append(folder / f"gate-{number}")
            gates.append(stack.enter_context(GateProcess(folders[-1], config=config)))
        yield Fleet(gates, folders, url, f"{endpoint}/evidence/fleet")


def flag_to_page(fleet: Fleet, browser: Any, repeats: int, advance: Callable[[str], object]) -> Any:
    opened = [pages.signed_in(browser, gate) for gate in fleet.gates]
    for page in opened:
        pages.note_new_jobs(page)
    took: list[float] = []
    with fleet.ledger() as ledger:
        for number in range(repeats):
            one = incident(number)
            ledger.record_incident(one, one.created_ms)
            committed_ms = time.time_ns() / 1e6
            took += [pages.seen_at(page, one.id, _PATIENCE_S) - committed_ms for page in opened]
            advance(f"flag {number + 1}")
            time.sleep(0.05 * (number % 14))  # Pages ask every 700 ms: at any moment of that.
    for page in opened:
        page.context.close()
    return {"repeats": len(took), "ms": percentiles(took, (50, 95, 99))}


def first_frame(fleet: Fleet, browser: Any, repeats: int, advance: Callable[[str], object]) -> Any:
    media = encode(frames=300, fps=25, gop=25, size=(360, 640))
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(media.units, Codec.H264, media.extradata, Path(folder), "in_1").path.read_bytes()
    for where, owner, shown_by in (("local", 0, 0), ("s3", 3, 3), ("relayed", 0, 1)):
        took: list[float] = []
        page = pages.signed_in(browser, fleet.gates[shown_by])
        with fleet.ledger(owner) as ledger:
            for number in range(repeats + 1):
                one = incident(number)
                ledger.record_incident(one, one.created_ms)
                path = fleet.folders[owner] / "evidence" / f"{one.id}.mp4"
                if where == "s3":
                    httpx.put(
                        f"{fleet.bucket}/{path.name}", content=clip, timeout=_PATIENCE_S
                    ).raise_for_status()
                else:
                    path.write_bytes(clip)
                ledger.set_evidence(one.id, str(path), one.created_ms, (0, 11_960), None, len(clip))
                took.append(pages.first_frame_ms(page, fleet.gates[shown_by], one.id))
                advance(f"{where} {number + 1}")
        page.context.close()
        result[where] = {"repeats": repeats, "ms": percentiles(took[1:], (50, 95))}
    return {**result, "clip_bytes": len(clip)}


def fill(fleet: Fleet, wanted: int) -> None:
    """Puts as many open incidents into the ledger. They are no decisions, so the audit log has none of
    them."""
    with fleet.ledger() as ledger, ledger._database.write_transaction("fill") as connection:
        for begin in range(0, wanted, 500):
            many = [incident(number) for number in range(begin, min(begin + 500, wanted))]
            rows = [{**records.incident_to_row(one), "gate": "gate-0"} for one in many]
            connection.execute(incidents.insert(), rows)


async def queue(fleet: Fleet, wanted: int, repeats: int, advance: Callable[[str], object]) -> Any:
    await asyncio.to_thread(fill, fleet, wanted)
    client = await pages.client_of(fleet.gates[1])
    ways = {"page": "/console/queue", "filter": "/console/queue?app=app-3&category=fight"}
    result: dict[str, Any] = {"incidents": wanted, "repeats": repeats}
    with fleet.ledger() as ledger:
        one = incident(0)
        ledger.record_incident(one, one.created_ms)  # the gate learns that something has changed
        result["first_ms"] = round(await pages.answered_ms(client, ways["page"]), 1)
        for changed in (False, True):
            for way, path in ways.items():
                took = []
                for number in range(repeats):
                    if changed:
                        one = incident(number)
                        await asyncio.to_thread(ledger.record_incident, one, one.created_ms)
                    took.append(await pages.answered_ms(client, path))
                    advance(f"queue {number + 1}")
                result[f"{way}_changed_ms" if changed else f"{way}_ms"] = percentiles(took)
    await client.aclose()
    return result


async def cost(
    gate: GateProcess,
    streams: int,
    opened: int,
    rounds: int,
    round_s: float,
    advance: Callable[[str], object],
) -> Any:
    media = moving()
    cpu: dict[bool, list[float]] = {False: [], True: []}
    async with AsyncExitStack() as stack:
        edge = Edge(gate, await stack.enter_async_context(grpc.aio.insecure_channel(gate.grpc)))
        clients = [await pages.client_of(gate) for _ in range(opened)]
        for client in clients:
            stack.push_async_callback(client.aclose)
        watching, admitted = [], 0
        for number in range(streams):
            answer = await edge.admit(f"calm-{number}", f"calm-{number}")
            admitted += answer.allowed
            if answer.allowed:
                stream = Watched(edge, answer.stream_id, media, len(media.units))
                watching.append(asyncio.create_task(stream.until_cut()))
        await asyncio.sleep(2.0)
        late_before = await _late(gate)
        late = {False: 0.0, True: 0.0}
        for number in range(2 * rounds):
            with_pages = number % 2 == 1
            open_pages = [
                asyncio.create_task(pages.keep_open(client, f"/console/{('queue', 'live')[index % 2]}"))
                for index, client in enumerate(clients if with_pages else [])
            ]
            before, began = _cpu_s(gate.pid), time.monotonic()
            await asyncio.sleep(round_s)
            cpu[with_pages].append((_cpu_s(gate.pid) - before) / (time.monotonic() - began))
            now = await _late(gate)
            late[with_pages] += now - late_before
            late_before = now
            for page in open_pages:
                page.cancel()
            await asyncio.gather(*open_pages, return_exceptions=True)
            advance(f"cost {number + 1}")
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    without, with_ = (sum(cpu[way]) / len(cpu[way]) for way in (False, True))
    return {
        "streams": admitted,
        "streams_wanted": streams,
        "pages": opened,
        "rounds": rounds,
        "cores_without": [round(each, 3) for each in cpu[False]],
        "cores_with": [round(each, 3) for each in cpu[True]],
        "share_percent": round(100 * (with_ - without) / max(with_, 1e-9), 1),
        "late_without": round(late[False]),
        "late_with": round(late[True]),
    }


def _cpu_s(pid: int) -> float:
    """Processor time of a process and of its children that run."""
    ticks, total = os.sysconf("SC_CLK_TCK"), 0.0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / ticks
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return total


async def _late(gate: GateProcess) -> float:
    async with httpx.AsyncClient(timeout=30) as client:
        text = (await client.get(f"http://{gate.http}/metrics")).text
    return sum(float(each) for each in _LATE.findall(text))


def run(folder: Path, given: argparse.Namespace, advance: Callable[[str], object]) -> dict[str, Any]:
    chromium, parts = given.chromium, given.parts
    result: dict[str, Any] = {"cpus": os.cpu_count(), "load": {}}

    def begins(part: str) -> bool:
        if part in parts:
            result["load"][part] = round(os.getloadavg()[0], 1)
        return part in parts

    with fleet_of_four(folder) as fleet:
        if {"flag_to_page", "first_frame"} & set(parts):
            with pages.chromium(chromium) as browser:
                if begins("flag_to_page"):
                    result["flag_to_page"] = flag_to_page(fleet, browser, given.flags, advance)
                if begins("first_frame"):
                    result["first_frame"] = first_frame(fleet, browser, given.openings, advance)
        if begins("cost"):
            result["cost"] = asyncio.run(
                cost(fleet.gates[0], given.streams, given.pages, given.rounds, given.round_s, advance)
            )
        if begins("queue"):
            result["queue"] = asyncio.run(queue(fleet, given.queue, given.requests, advance))
    return result


def _parts(text: str) -> Sequence[str]:
    chosen = tuple(text.split(","))
    if unknown := set(chosen) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(PARTS)}")
    return chosen


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks console",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", type=_parts, default=PARTS, help=f"comma-separated ({','.join(PARTS)})")
    parser.add_argument("--flags", type=int, default=50, help="incidents, each on four pages (50)")
    parser.add_argument("--openings", type=int, default=20, help="incidents opened a place (20)")
    parser.add_argument("--queue", type=int, default=10_000, help="incidents that wait (10,000)")
    parser.add_argument("--requests", type=int, default=40, help="requests of each kind to that queue (40)")
    parser.add_argument("--streams", type=int, default=30, help="streams that the gate watches (30)")
    parser.add_argument("--pages", type=int, default=20, help="pages that are open (20)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds with and without pages (2)")
    parser.add_argument("--round-s", type=float, default=6.0, help="seconds of a round; all within 28 (6)")
    parser.add_argument(
        "--chromium", default=shutil.which("chromium") or "/usr/bin/chromium", help="path of the browser"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if 2 * given.rounds * given.round_s > 28 or min(given.rounds, given.requests, given.flags) < 1:
        parser.error("--rounds times two times --round-s is at most 28, and all counts are at least 1")
    needed = ("playwright", "obstore", "moto")
    if not available() or not all(map(find_spec, needed)) or not Path(given.chromium).exists():
        print("needs Chromium (--chromium) and: pip install 'edge-gate[dev]'", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder, console.status("starts") as status:
        result = run(Path(folder), given, status.update)
    if given.json:
        print(json.dumps(result))
    else:
        table = Table("part", "figures")
        for key, value in result.items():
            table.add_row(key, json.dumps(value, indent=1))
        Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
