"""What hearing costs: the gate's CPU with and without the categories of audio and single frames, in turn.

    python -m benchmarks hearing --json

Calm streams with somebody talking are published in real time over RTMP to the reference ingest. The same gate
watches them all the time. Its policy switches the categories of the audio and the frame model on and off in
turn, so that whatever else the machine does weighs on both alike. ``ratio`` is the CPU of a phase with them
over that of the phase without them beside it, a median over all pairs. The CPU is that of the supervisor and
its workers, not of the ingest.

Footage and speech come from ``../shared/data``. A pack without an audio model gets the public network that
lies beside the sounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks._attack_media import AttackMedia
from benchmarks._cut_servers import Server, server_of
from benchmarks._load_gate import Usage
from benchmarks.attack import pack_with_ears
from benchmarks.servers.flv_publisher import publish
from edge.api.auth import Role
from edge.cli.demo_footage import shared_data
from edge.cli.operator_client import GateConnection
from edge.contract.gen import operator_pb2
from edge.detect import default_model_directory, model_directory, read_pack
from edge.errors import GateError, NotFound
from edge.gate_process import ENFORCING, GateProcess

_WARM_UP_S: Final = 12.0
_SETTLE_S: Final = 2.0


def switch(gate: GateProcess, categories: Collection[str], *, on: bool) -> None:
    """Switches categories of the policy in force on or off."""
    with GateConnection(gate.grpc, gate.tokens).operator(Role.ADMIN) as (stub, metadata):
        policy = json.loads(stub.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=metadata).json)
        for name in categories:
            policy["categories"][name]["enabled"] = on
        request = operator_pb2.SetPolicyRequest(json=json.dumps(policy), reason="benchmark")
        stub.SetPolicy(request, metadata=metadata)


async def phases(
    gate: GateProcess, categories: Collection[str], pairs: int, phase_s: float
) -> list[tuple[float, float]]:
    """Measures pairs of phases. Returns CPU seconds a second, without and with the categories."""
    found = []
    for number in range(pairs):
        spent: dict[bool, float] = {}
        for on in (False, True) if number % 2 else (True, False):
            await asyncio.to_thread(switch, gate, categories, on=on)
            await asyncio.sleep(_SETTLE_S)
            before, since = await asyncio.to_thread(Usage.of, gate.pid, gate.http), time.monotonic()
            await asyncio.sleep(phase_s)
            after = await asyncio.to_thread(Usage.of, gate.pid, gate.http)
            spent[on] = (after.cpu_s - before.cpu_s) / (time.monotonic() - since)
        found.append((spent[False], spent[True]))
    return found


async def measure(
    server: Server, gate: GateProcess, path: Path, categories: Collection[str], given: argparse.Namespace
) -> list[tuple[float, float]]:
    """Publishes the streams and measures beside them."""

    async def streams(number: int) -> None:
        await asyncio.sleep(number / 4)
        await publish(path, server.url(f"talk-{number}", "direct"), 0)

    async with AsyncExitStack() as stack:
        await server.start(gate, stack)
        running = [asyncio.create_task(streams(number)) for number in range(given.streams)]
        try:
            await asyncio.sleep(_WARM_UP_S)
            found = await phases(gate, categories, given.pairs, given.phase)
            if ended := [task for task in running if task.done()]:
                await asyncio.gather(*ended)
                raise NotFound("streams", f"{len(ended)} ended before the measurement did")
            return found
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def report(found: Sequence[tuple[float, float]], streams: int) -> dict[str, Any]:
    """The figures: CPU of each phase in milliseconds a stream-second, and their ratios."""
    ratios = [on / off for off, on in found]
    return {
        "without_ms_a_stream_s": round(1000 * statistics.median(off for off, _ in found) / streams, 2),
        "with_ms_a_stream_s": round(1000 * statistics.median(on for _, on in found) / streams, 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks hearing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--streams", type=int, default=8, help="streams at once (8)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of phases (5)")
    parser.add_argument("--phase", type=float, default=8.0, help="seconds of a phase (8)")
    parser.add_argument("--model", type=Path, help="folder of the model pack (the shipped one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if min(given.streams, given.pairs) < 1 or given.phase <= 0:
        parser.error("--streams, --pairs and --phase must be positive")
    data = shared_data()
    if data is None:
        print("there is no ../shared/data with footage and sounds", file=sys.stderr)
        return 2
    seconds = _WARM_UP_S + 2 * given.pairs * (given.phase + 2 * _SETTLE_S) + given.streams / 4 + 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            directory = default_model_directory() if given.model is None else model_directory(given.model)
            pack = pack_with_ears(read_pack(directory), data, folder / "pack")
            witnesses = (*pack.manifest.audio, *pack.manifest.frames)
            categories = [category.name for model in witnesses for category in model.categories]
            path = AttackMedia(data, folder).talking(seconds)
            server = server_of("reference", folder / "reference", 1)
            config = f'model_dir = "{pack.directory}"\nlog_level = "warning"\n'
            with GateProcess(folder / "gate", config=config, policy=ENFORCING) as gate:
                found = asyncio.run(measure(server, gate, path, categories, given))
        except GateError as error:
            print(error, file=sys.stderr)
            return 2
    shown = f"{pack.manifest.name} {pack.manifest.version}"
    result = {
        "pack": shown,
        "categories": categories,
        "streams": given.streams,
        **report(found, given.streams),
    }
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
