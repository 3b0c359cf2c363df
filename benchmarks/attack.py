"""An attack, live: from the first shot that leaves the publisher to the FLAG, with two witnesses to the cut.

    python -m benchmarks attack --json

A real gate beside nginx-rtmp and the reference ingest, which relays at once or with hold-back. Calm footage
with calm audio is published in real time over RTMP. After five seconds automatic fire is mixed in at stated
levels: decibels over the calm audio (``shots``), then also with a firearm in the frame, where the pack
judges ``firearm``: at least half as large as the frame (``armed``), or a quarter to half
(``armed_medium``), four photographs for two seconds each. The audio and the frames of games are published
the same way, to an application that nobody has marked as games: they must not be cut. The first shot is the
first 10 ms within 20 dB of the loudest ones.

``to_flag_ms`` is from the first shot to the first FLAG or CUT, ``to_cut_ms`` to the closed connection. What
is flagged before the first shot counts as ``false_flags``.
``viewers_saw_ms`` is how much media from the first shot on viewers had then got. ``pictures`` gives the
model's score of each photograph of each trial: two of the last three frames, one a second, must be over the
threshold of the rule.

Footage, sounds and frames come from ``../shared/data``, and models may have learnt from them: this measures
the way to a FLAG and not how much is heard. A pack without an audio model gets the public network that lies
beside the sounds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
from rich.console import Console
from rich.progress import Progress

from benchmarks._attack_media import AttackMedia, Programme
from benchmarks._cut_servers import NewestPts, Server, server_of
from benchmarks._percentiles import percentiles
from benchmarks.servers.flv_publisher import publish
from edge.api.auth import Role
from edge.cli.demo_footage import shared_data
from edge.cli.operator_client import GateConnection
from edge.contract.gen import gate_pb2, operator_pb2
from edge.detect import PackFiles, default_model_directory, model_directory, read_pack
from edge.detect.importing.joined_pack import join_pack
from edge.detect.sight.frame_model import FrameModel
from edge.errors import GateError, NotFound, PublishRejected
from edge.gate_process import ENFORCING, GateProcess
from edge.ingest.test_footage import RATE

KINDS: Final = ("shots", "armed", "armed_medium", "game")
_PICTURE_MS: Final = 1000 // RATE
_POLL_S: Final = 0.1
_TRANSIT_S: Final = 0.5
_PAUSES_S: Final = (3.0, 6.0, 12.0, 0.0)


@dataclass(frozen=True, slots=True)
class Case:
    """One publish."""

    server: str
    mode: str
    programme: Programme


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a publish. Times are milliseconds from its first shot; None: it did not happen."""

    case: Case
    flag_ms: float | None
    cut_ms: float | None
    saw_at_flag_ms: float | None
    saw_ms: float
    category: str
    false_flag: bool = False
    """Whether there was an incident before the first shot. What follows may belong to it, so that the times
    say nothing."""


async def attack(case: Case, server: Server, gate: GateProcess, name: str) -> Outcome:
    """Publishes once. Raises OSError, TimeoutError or PublishRejected where it is not let in."""
    programme = case.programme
    seen: list[float] = []
    async with server.watched(name, case.mode) as newest:
        watching = asyncio.create_task(_note_flag(gate, name, newest, programme, seen))
        try:
            published = await publish(programme.path, server.url(name, case.mode), programme.first_ms)
            await asyncio.sleep(_TRANSIT_S)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        saw_ms = _saw(newest(), programme)
    found = await asyncio.to_thread(_incidents, gate, name)
    left_ms = published.left_ms
    if left_ms is None:
        raise ConnectionResetError("closed before the first shot")
    first = min(found, key=lambda incident: incident.created_wall_ms, default=None)
    if first is not None and first.created_wall_ms < left_ms:
        return Outcome(case, None, None, None, saw_ms, first.verdict.category, false_flag=True)
    return Outcome(
        case,
        None if first is None else first.created_wall_ms - left_ms,
        None if published.closed_ms is None else published.closed_ms - left_ms,
        seen[0] if seen else None,
        saw_ms,
        "" if first is None else first.verdict.category,
    )


async def _note_flag(
    gate: GateProcess, name: str, newest: NewestPts, programme: Programme, seen: list[float]
) -> None:
    """Notes what viewers have got when there is an incident."""
    while not seen:
        if await asyncio.to_thread(_incidents, gate, name):
            seen.append(_saw(newest(), programme))
        await asyncio.sleep(_POLL_S)


def _saw(newest_ms: int, programme: Programme) -> float:
    return float(max(0, newest_ms + _PICTURE_MS - programme.first_ms))


def _incidents(gate: GateProcess, broadcaster: str) -> list[operator_pb2.Incident]:
    """Its incidents that a FLAG or a CUT opened, and that were acted on."""
    with GateConnection(gate.grpc, gate.tokens).operator(Role.VIEWER) as (stub, metadata):
        request = operator_pb2.ListIncidentsRequest(broadcaster=broadcaster)
        found = stub.ListIncidents(request, metadata=metadata, timeout=10).incidents
    acted = (gate_pb2.ACTION_FLAG, gate_pb2.ACTION_CUT)
    return [incident for incident in found if incident.verdict.action in acted]


async def measure(
    servers: dict[str, Server], gate: GateProcess, cases: Sequence[Case], concurrency: int
) -> list[Outcome]:
    """Publishes all cases, ``concurrency`` at a time. What a busy machine does not let in is tried again a
    few times under another name, then told and left out."""
    console = Console(stderr=True)
    outcomes: list[Outcome] = []
    waiting, numbers = iter(cases), itertools.count()

    async def publisher() -> None:
        for case in waiting:
            for pause_s in _PAUSES_S:
                name = f"{case.programme.kind}-{case.mode}-{next(numbers)}"
                try:
                    outcomes.append(await attack(case, servers[case.server], gate, name))
                    break
                except (OSError, TimeoutError, PublishRejected, GateError) as error:
                    console.print(f"{name}: {type(error).__name__}: {error}", markup=False)
                    await asyncio.sleep(pause_s)
            progress.advance(task)

    async with AsyncExitStack() as stack:
        for server in servers.values():
            await server.start(gate, stack)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("attack", total=len(cases))
            await asyncio.gather(*(publisher() for _ in range(concurrency)))
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of some publishes."""
    return {
        "published": len(outcomes),
        "flagged": sum(one.flag_ms is not None for one in outcomes),
        "false_flags": sum(one.false_flag for one in outcomes),
        "cut": sum(one.cut_ms is not None for one in outcomes),
        "to_flag_ms": percentiles(_known(one.flag_ms for one in outcomes)),
        "to_cut_ms": percentiles(_known(one.cut_ms for one in outcomes)),
    }


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of each kind: of all, by level, by server, and what viewers saw by the way of relaying."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        of_kind = [one for one in outcomes if one.case.programme.kind == kind]
        if not of_kind:
            found[kind] = None
            continue
        found[kind] = {
            **summary(of_kind),
            "by_level_db": _grouped(of_kind, [str(one.case.programme.level_db) for one in of_kind]),
            "by_server": _grouped(of_kind, [one.case.server for one in of_kind]),
            "viewers_saw_ms": {
                mode: {
                    "at_flag": percentiles(_known(one.saw_at_flag_ms for one in of_mode)),
                    "in_all": percentiles([one.saw_ms for one in of_mode]),
                }
                for mode in ("direct", "hold_back")
                if (of_mode := [one for one in of_kind if one.case.mode == mode])
            },
            "categories": sorted({one.category for one in of_kind if one.category}),
        }
    return found


def _grouped(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, Any]:
    return {
        name: summary([one for one, of in zip(outcomes, names, strict=True) if of == name])
        for name in dict.fromkeys(names)
    }


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def frame_scores(pack: PackFiles, programmes: Iterable[Programme]) -> dict[str, list[list[float]]]:
    """Returns for each kind of programme with photographs what the model says of those of each trial."""
    model = FrameModel.of(pack)
    found: dict[str, list[list[float]]] = {}
    for one in {programme.pictures: programme for programme in programmes}.values():
        if model is None or "firearm" not in model.categories or not one.pictures:
            continue
        scores = [model.infer(model.picture(_first_frame(still)))["firearm"] for still in one.pictures]
        found.setdefault(one.kind, []).append([round(score, 3) for score in scores])
    return found


def _first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as media:
        return next(media.decode(video=0))


def pack_with_ears(pack: PackFiles, data: Path, folder: Path) -> PackFiles:
    """Returns the pack, with the public network of ``data`` where it has no audio model. Raises NotFound."""
    if pack.manifest.audio:
        return pack
    from edge.detect.importing.yamnet import convert_yamnet, yamnet_spec

    file = data / "sounds" / "teacher" / "yamnet_spectra_in.tflite"
    if not file.is_file():
        raise NotFound("audio model", f"{file}; name a pack with --model")
    converted = convert_yamnet(file)
    return join_pack(pack, yamnet_spec(converted.onnx), converted.onnx, folder)


def cases_of(
    media: AttackMedia, servers: dict[str, Server], kinds: Sequence[str], levels: Sequence[int], trials: int
) -> list[Case]:
    """Every kind at every level to every server, ``trials`` times, in turn."""
    cases = []
    for trial, kind, level_db in itertools.product(range(trials), kinds, levels):
        programme = media.programme(kind, level_db, trial)
        for server, mode in ((name, mode) for name, one in servers.items() for mode in one.modes):
            cases.append(Case(server, mode, programme))
    return cases


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks attack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--servers", default="nginx-rtmp,reference", help="which, by commas (both)")
    parser.add_argument("--levels", default="20,10", help="dB of the shots over the calm audio (20,10)")
    parser.add_argument("--trials", type=int, default=2, help="publishes a kind, level and relay mode (2)")
    parser.add_argument("--concurrency", type=int, default=4, help="publishes at a time (4)")
    parser.add_argument("--model", type=Path, help="folder of the model pack (the shipped one)")
    parser.add_argument("--budget-ms", type=int, help="the policy's verdict budget (its default)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    if min(given.trials, given.concurrency) < 1:
        parser.error("--trials and --concurrency are at least 1")
    try:
        levels = [int(level) for level in given.levels.split(",")]
    except ValueError:
        parser.error(f"--levels: {given.levels!r} is no list of numbers")
    data = shared_data()
    if data is None:
        print("there is no ../shared/data with footage and sounds", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            servers = {each: server_of(each, folder / each, 1) for each in given.servers.split(",")}
            directory = default_model_directory() if given.model is None else model_directory(given.model)
            pack = pack_with_ears(read_pack(directory), data, folder / "pack")
            kinds = [
                kind
                for kind in KINDS
                if not kind.startswith("armed") or "firearm" in pack.manifest.categories
            ]
            cases = cases_of(AttackMedia(data, folder), servers, kinds, levels, given.trials)
        except GateError as error:
            print(error, file=sys.stderr)
            return 2
        config = f'model_dir = "{pack.directory}"\nlog_level = "warning"\n'
        config += "".join(server.config() for server in servers.values())
        policy = {**ENFORCING, **({} if given.budget_ms is None else {"budget_ms": given.budget_ms})}
        with GateProcess(folder / "gate", config=config, policy=policy) as gate:
            outcomes = asyncio.run(measure(servers, gate, cases, given.concurrency))
        scores = frame_scores(pack, [case.programme for case in cases])
    result = {
        "pack": f"{pack.manifest.name} {pack.manifest.version}",
        "categories": list(pack.manifest.categories),
        "levels_db": levels,
        "concurrency": given.concurrency,
        "not_let_in": len(cases) - len(outcomes),
        "pictures": scores,
        **report(outcomes),
    }
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:12} {value}")
    games = result["game"] or {"cut": 0}
    return 0 if outcomes and not games["cut"] else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
