"""Measures how often a cut encoder that reconnects in a tight loop gets in.

Where the server asks the gate first, an attempt gets in when the server accepts it. Elsewhere it gets in
when it is still connected after ``_STAYED_S``.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from rich.progress import Progress

from benchmarks._percentiles import percentiles
from benchmarks.servers.flv_publisher import flv_messages
from edge.errors import GateError, PublishRejected
from edge.gate_process import GateProcess
from edge.ingest.message import Message
from edge.ingest.rtmp_client import RtmpPublisher

_ENCODERS = 4
"""Loops that reconnect at once, all under the key that was cut."""
_STAYED_S = 5.0
_OPENING_MESSAGES = 10


async def reconnects(
    gate: GateProcess, url: str, programme: Path, attempts: int, *, asks_first: bool, progress: Progress
) -> dict[str, Any]:
    """Makes ``attempts`` publishes of a cut broadcaster, each at once after the one before."""
    task = progress.add_task("reconnect", total=attempts)
    opening = list(flv_messages(programme))[:_OPENING_MESSAGES]
    admitted = await asyncio.to_thread(_admitted, gate)
    left = iter(range(attempts))
    refused_ms: list[float] = []
    got_in = failed = 0

    async def encoder() -> None:
        nonlocal got_in, failed
        for _ in left:
            started = time.perf_counter()
            try:
                got_in += await _attempt(url, opening, asks_first)
            except (OSError, TimeoutError, GateError):
                failed += 1
            else:
                refused_ms.append((time.perf_counter() - started) * 1000)
            progress.advance(task)

    await asyncio.gather(*(encoder() for _ in range(_ENCODERS)))
    return {
        "attempts": attempts,
        "got_in": got_in,
        "no_answer": failed,
        "admitted_by_gate": round(await asyncio.to_thread(_admitted, gate) - admitted),
        "refused_ms": percentiles(refused_ms),
    }


async def _attempt(url: str, opening: list[Message], asks_first: bool) -> bool:
    """Returns whether the attempt got in. Raises when there is no answer at all, which says nothing about
    the gate."""
    try:
        publisher = await RtmpPublisher.connect(url)
    except (ConnectionResetError, BrokenPipeError, PublishRejected):
        return False
    try:
        if asks_first:
            return True
        for message in opening:
            try:
                await publisher.send(message, message.timestamp)
            except ConnectionError:
                return False
        try:
            async with asyncio.timeout(_STAYED_S):
                await publisher.wait_closed()
        except TimeoutError:
            return True
        return False
    finally:
        await publisher.close()


def _admitted(gate: GateProcess) -> float:
    """Returns the number of publishes that the gate has admitted since it started."""
    with urlopen(f"http://{gate.http}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    name = 'edge_admissions_total{reason="admitted"} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))
