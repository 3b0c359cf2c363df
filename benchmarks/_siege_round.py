"""One round of the ``siege`` benchmark: innocent streams and a violator, without a flood and with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import psutil

from benchmarks._media import Loop
from benchmarks._publishers import Plan as Publishers
from benchmarks._siege_floods import Plan as FloodPlan
from benchmarks.servers.flv_publisher import publish
from edge.api.auth import Role
from edge.cli.operator_client import GateConnection
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2
from edge.errors import ConfigError, GateError
from edge.gate_process import GateProcess
from edge.ingest.rtmp_client import RtmpPublisher

GOP_S: Final = 2.0
"""Of the innocent streams. In the calm tier each GOP gives a sample."""
INNOCENT_APP: Final = "innocent"
_START_S: Final = 2.0
_RAMP_S: Final = 2.0
_SETTLE_S: Final = 4.0
_FLOOD_BEGINS_S: Final = 1.0
_TRIAL_S, _MORE_S = 4.5, 4.0
"""Time that must be left in a window to begin another violation, and time that it has after the window."""
_ADMIT_EVERY_S, _PUBLISH_EVERY_S = 0.25, 1.0
_ANSWER_S: Final = 2.0
_DESCRIPTORS: Final = 256
"""File descriptors of the gate in the flood of connections."""
_PATIENCE_S: Final = 20.0
_EXPECTED = (OSError, TimeoutError, GateError, grpc.RpcError, httpx.HTTPError)


@dataclass(frozen=True, slots=True)
class Media:
    """What is sent, encoded beforehand: encoders would take the cores that are measured."""

    innocent: Loop
    flood: dict[str, Loop]
    """Media over Watch, by flood. Others send that of the innocent streams."""
    calm: Path
    """FLV of calm footage, for floods over RTMP."""
    violating: Path
    violation_ms: int
    """Where the violation begins in it."""
    banks: Path
    """Banks that know the violation."""


@dataclass(frozen=True, slots=True)
class Round:
    """Parameters of one round."""

    flood: str
    media: Media
    streams: int
    seconds: float
    """Length of each of the two windows."""
    code: Path
    """Checkout whose gate and ingest server run."""
    niceness: int
    """Of the flood's process."""


@dataclass(slots=True)
class Window:
    """What was observed without the flood, or with it."""

    begins: float
    ends: float
    """``time.time()`` seconds."""
    admits: list[float | None] = field(default_factory=list)
    """Latency of each innocent Admit in milliseconds; None when it was not let in in time."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Innocent Admits that were not let in, by reason."""
    publishes: list[bool] = field(default_factory=list)
    """Whether each innocent publish over RTMP was let in."""
    healthy: list[bool] = field(default_factory=list)
    cut_ms: list[float | None] = field(default_factory=list)
    """Time to cut of each violation; None when it was shown to its end, or was not let in."""
    samples: int = 0
    late_s: float = 0.0
    """How much later than planned it was begun to observe."""
    busiest: float = 0.0
    """The largest share of its time that a worker of the gate spent in jobs, as it said itself."""
    cores: dict[str, float] = field(default_factory=dict)
    """Processor time in cores, by who took it."""


def run_round(this: Round, progress: Callable[[str], None]) -> dict[str, Any]:
    """Runs one round. Raises ConfigError when the gate or the ingest server of the code does not start."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = folder / "gate"
        data.mkdir()
        shutil.copytree(this.media.banks, data / "banks")
        config = 'log_level = "warning"\n[workers]\nspare_load = 0.0\n'
        variables = environment(this.code)
        if this.flood == "descriptors":
            variables = _few_descriptors(folder, variables)
        gate = stack.enter_context(GateProcess(data, config=config, environment=variables))
        policy = _set_policy(gate)
        ingest = stack.enter_context(_ingest(this.code, gate.grpc, folder))
        return asyncio.run(_measure(this, gate, ingest, policy, progress))


def _few_descriptors(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Returns variables with which a process limits its own file descriptors as Python starts."""
    most = (_DESCRIPTORS, _DESCRIPTORS)
    text = f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, {most})\n"
    (folder / "sitecustomize.py").write_text(text)
    return {**variables, "PYTHONPATH": f"{folder}{os.pathsep}{variables['PYTHONPATH']}"}


def environment(code: Path) -> dict[str, str]:
    """Variables with which a process runs the code of this checkout, wherever it is started."""
    return {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}


async def _measure(
    this: Round, gate: GateProcess, ingest: str, policy: str, progress: Callable[[str], None]
) -> dict[str, Any]:
    async with _flood(this, gate, ingest, policy) as flood:
        return await _two_windows(this, gate, ingest, flood, progress)


async def _two_windows(
    this: Round, gate: GateProcess, ingest: str, flood: FloodProcess, progress: Callable[[str], None]
) -> dict[str, Any]:
    start_at = time.time() + _START_S
    calm = Window(start_at + _RAMP_S + _SETTLE_S, start_at + _RAMP_S + _SETTLE_S + this.seconds)
    flooded_at = calm.ends + _MORE_S + _FLOOD_BEGINS_S
    flooded = Window(flooded_at, flooded_at + this.seconds)
    plan = Publishers(
        gate.grpc,
        this.media.innocent,
        tuple((INNOCENT_APP, f"innocent{number}") for number in range(this.streams)),
        start_at,
        calm.begins,
        flooded.ends + 1.0,
        seed=1,
        ramp_s=_RAMP_S,
    )
    async with AsyncExitStack() as stack:
        innocent = stack.enter_context(_process("benchmarks._publishers", plan))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(gate.grpc))
        progress("innocent streams begin")
        await _until(calm.begins)
        progress("without the flood")
        with _cores(calm, {"gate": gate.pid, "publishers": innocent.pid}):
            await _observe(calm, this.media, gate, ingest, channel, "calm")
        progress("with the flood")
        flood.begin()
        await _until(flooded.begins)
        with _cores(flooded, {"gate": gate.pid, "publishers": innocent.pid, "flood": flood.pid}):
            await _observe(flooded, this.media, gate, ingest, channel, "flooded")
        did = await flood.end()
        progress("innocent streams end")
        out, _ = await asyncio.to_thread(innocent.communicate, None, _PATIENCE_S)
    tallies = [json.loads(line) for line in out.splitlines()]
    for window in (calm, flooded):
        window.samples = sum(
            window.begins <= at < window.ends for tally in tallies for at in tally["verdict_times"]
        )
    return figures(calm, flooded, tallies, did)


def figures(
    calm: Window, flooded: Window, tallies: list[dict[str, Any]], did: dict[str, int]
) -> dict[str, Any]:
    """Returns the figures of a round."""
    before, during = _median(calm.cut_ms), _median(flooded.cut_ms)
    return {
        "samples_due": round(len(tallies) * (calm.ends - calm.begins) / GOP_S),
        "samples_without": calm.samples,
        "samples": flooded.samples,
        "samples_kept": round(flooded.samples / calm.samples, 3) if calm.samples else 0.0,
        "admits_answered": _share(latency is not None for latency in flooded.admits),
        "admits_refused_without": dict(calm.refusals),
        "admits_refused": dict(flooded.refusals),
        "admit_ms_max": max((ms for ms in flooded.admits if ms is not None), default=None),
        "publishes_let_in": _share(flooded.publishes),
        "health_answered": _share(flooded.healthy),
        "cut_ms_without": before,
        "cut_ms": during,
        "cut_ratio": None if before is None or during is None else round(during / before, 2),
        "busiest_worker_without": calm.busiest,
        "busiest_worker": flooded.busiest,
        "late_s": round(max(calm.late_s, flooded.late_s), 2),
        "cores_without": calm.cores,
        "cores": flooded.cores,
        "streams_failed": sorted({tally["failed"] for tally in tallies if tally["failed"]}),
        "flood": did,
    }


def _median(times: list[float | None]) -> float | None:
    """The median. None when a violation was not cut at all."""
    return None if not times or None in times else round(statistics.median(filter(None, times)), 1)


def _share(answered: Any) -> float | None:
    found = list(answered)
    return round(sum(found) / len(found), 3) if found else None


async def _observe(
    window: Window, media: Media, gate: GateProcess, ingest: str, channel: grpc.aio.Channel, word: str
) -> None:
    window.late_s = max(0.0, time.time() - window.begins)
    await asyncio.gather(
        _every(_ADMIT_EVERY_S, window, lambda number: _admit(window, channel, f"{word}{number}")),
        _every(_PUBLISH_EVERY_S, window, lambda number: _publish(window, ingest, f"{word}-show{number}")),
        _every(_PUBLISH_EVERY_S, window, lambda _: _health(window, gate.http)),
        _every(_PUBLISH_EVERY_S, window, lambda _: _busiest(window, gate.http)),
        _violate(window, media, ingest, word),
    )


async def _every(pause_s: float, window: Window, act: Callable[[int], Any]) -> None:
    """Acts at a steady pace, whether or not earlier acts are done."""
    acts = []
    number = 0
    while time.time() < window.ends:
        acts.append(asyncio.ensure_future(act(number)))
        number += 1
        await _until(window.begins + number * pause_s)
    await asyncio.gather(*acts)


async def _admit(window: Window, channel: grpc.aio.Channel, name: str) -> None:
    stub = gate_pb2_grpc.GateStub(channel)
    began = time.monotonic()
    try:
        answer = await stub.Admit(
            gate_pb2.AdmitRequest(server="siege", connection=name, app="live", name=name, broadcaster=name),
            timeout=_ANSWER_S,
        )
    except grpc.aio.AioRpcError as error:
        window.admits.append(None)
        window.refusals[error.code().name] += 1
        return
    window.admits.append(round(1000 * (time.monotonic() - began), 1) if answer.allowed else None)
    if not answer.allowed:
        window.refusals[gate_pb2.ReasonCode.Name(answer.reason)] += 1
    else:
        over = gate_pb2.DetachRequest(
            stream_id=answer.stream_id, reason="closed", admission_secret=answer.admission_secret
        )
        with contextlib.suppress(grpc.aio.AioRpcError):  # code from before knows no such place
            await stub.Detach(over, timeout=_ANSWER_S)


async def _publish(window: Window, ingest: str, name: str) -> None:
    try:
        publisher = await RtmpPublisher.connect(f"rtmp://{ingest}/live/{name}?user={name}", _ANSWER_S)
    except _EXPECTED:
        window.publishes.append(False)
        return
    window.publishes.append(True)
    await publisher.close()


async def _health(window: Window, http: str) -> None:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER_S) as client:
            answer = await client.get(f"http://{http}/healthz")
        window.healthy.append(answer.is_success)
    except httpx.HTTPError:
        window.healthy.append(False)


async def _busiest(window: Window, http: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER_S) as client:
            answer = await client.get(f"http://{http}/metrics")
        shares = (line for line in answer.text.splitlines() if line.startswith("edge_worker_busy{"))
        busiest = max((float(line.rpartition(" ")[2]) for line in shares), default=0.0)
        window.busiest = max(window.busiest, round(busiest, 2))


async def _violate(window: Window, media: Media, ingest: str, word: str) -> None:
    """Publishes the violation, again and again under new names, and times each cut."""
    number = 0
    while time.time() < window.ends - _TRIAL_S or not number:
        name = f"violator-{word}{number}"
        number += 1
        try:
            async with asyncio.timeout(window.ends + _MORE_S - time.time()):
                url = f"rtmp://{ingest}/live/{name}?user={name}"
                shown = await publish(media.violating, url, media.violation_ms)
        except _EXPECTED:
            window.cut_ms.append(None)
            await asyncio.sleep(1.0)
            continue
        cut = shown.left_ms is not None and shown.closed_ms is not None
        window.cut_ms.append(shown.closed_ms - shown.left_ms if cut else None)  # type: ignore[operator]


@contextmanager
def _cores(window: Window, processes: dict[str, int]) -> Iterator[None]:
    """Notes the processor time that these processes and their children take inside the context."""
    began, before = time.monotonic(), {name: _cpu_s(pid) for name, pid in processes.items()}
    yield
    took_s = time.monotonic() - began
    window.cores = {
        name: round(max(0.0, _cpu_s(pid) - before[name]) / took_s, 2) for name, pid in processes.items()
    }


def _cpu_s(pid: int) -> float:
    """Processor time of a process and of its living children. 0 when it is gone."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))
    return 0.0


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.time()))


# processes


class FloodProcess:
    """The process of a flood, which has loaded all that it needs and waits to be told."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def begin(self) -> None:
        os.kill(self.pid, signal.SIGUSR1)

    async def end(self) -> dict[str, int]:
        """Ends the flood. Returns what it did; nothing where it does not say so in time."""
        with contextlib.suppress(OSError):
            _be_nice(self.pid, 0)
        self._process.send_signal(signal.SIGTERM)
        try:
            out, _ = await asyncio.to_thread(self._process.communicate, None, _PATIENCE_S)
        except subprocess.TimeoutExpired:
            return {}
        return dict(json.loads(out or b"{}"))


@asynccontextmanager
async def _flood(this: Round, gate: GateProcess, ingest: str, policy: str) -> AsyncIterator[FloodProcess]:
    """Makes a flood ready, with its own priority. At the end of the context it is gone."""
    loop = this.media.flood.get(this.flood, this.media.innocent)
    plan = FloodPlan(this.flood, gate.grpc, ingest, gate.http, gate.tokens, loop, this.media.calm, policy)
    with _process("benchmarks._siege_floods", plan) as process:
        assert process.stdout is not None
        if not await asyncio.to_thread(process.stdout.readline):
            raise ConfigError(f"{this.flood}: the flood does not start")
        _be_nice(process.pid, this.niceness)
        yield FloodProcess(process)


def _be_nice(pid: int, niceness: int) -> None:
    os.setpriority(os.PRIO_PROCESS, pid, niceness)
    with contextlib.suppress(OSError):  # where each session has its own share of the processor
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


@contextmanager
def _process(module: str, plan: object) -> Iterator[subprocess.Popen[bytes]]:
    """Runs ``main`` of a module with a pickled plan. Kills it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {module} import main; raise SystemExit(main())"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        pickle.dump(plan, process.stdin)
        process.stdin.close()
        process.stdin = None
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _ingest(code: Path, gate: str, folder: Path) -> Iterator[str]:
    """Runs the reference ingest server of the code. Yields its address. Its publishers' names are trusted."""
    command = [sys.executable, "-m", "edge.cli", "ingest"]
    variables = {**os.environ, **environment(code)}
    said = subprocess.run([*command, "--help"], env=variables, capture_output=True, text=True, check=False)
    if "--trust-user" in said.stdout:
        command.append("--trust-user")
    events = folder / "ingest.jsonl"
    with events.open("wb") as out, (folder / "ingest.log").open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--gate", gate, "--json"],
            stdout=out,
            stderr=errors,
            env=variables,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not (first := events.read_bytes().partition(b"\n"))[1]:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConfigError(f"ingest: {(folder / 'ingest.log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield str(json.loads(first[0])["rtmp"])
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _set_policy(gate: GateProcess) -> str:
    """Lets only known footage lead to a cut, and streams begin calm. Returns the policy as JSON."""
    never = {"release_at": 1.0, "raise_at": 1.0, "flag_at": 1.0, "cut_at": 1.0}
    with GateConnection(gate.grpc, gate.tokens).operator(Role.ADMIN) as (stub, metadata):
        policy = json.loads(stub.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=metadata).json)
        policy["categories"] = dict.fromkeys(policy["categories"], never)
        policy["tiers"] |= {"start_alert_ms": 0, "bitrate_jump": 0.0}
        policy["apps"] = {INNOCENT_APP: {"match": {"enabled": False}}}
        text = json.dumps(policy)
        stub.SetPolicy(operator_pb2.SetPolicyRequest(json=text, reason="siege"), metadata=metadata)
    return text
