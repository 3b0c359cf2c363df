"""One load run of the whole gate: callers in other processes, figures from inside and outside."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from benchmarks._load_cost import GOP_S, make_bank
from benchmarks._load_gate import Holdings, Usage, holdings, worker_loads, workers_of
from benchmarks._load_report import figures
from benchmarks._media import Loop
from benchmarks._publishers import ALERT_APP, Plan
from benchmarks.servers.server_process import free_port
from edge.api.auth import parse_tokens
from edge.contract.gen import operator_pb2, operator_pb2_grpc
from edge.domain import AccessUnit, Codec
from edge.evidence import write_clip
from edge.gate_process import GateProcess

_START_S = 2.0
_PULL_START_S = 0.5
"""Seconds a stream to start RTMP publishers, which connect one after the other."""
_SETTLE_S = 5.0
_SAMPLE_S = 5.0
_WORD_S = 60.0

Progress = Callable[[str, float], None]
"""Called with what is going on and the finished share of the run, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Run:
    """Parameters of a run."""

    loop: Loop
    streams: int
    seconds: float
    publishers: int = 1
    pull: bool = False
    honour_tiers: bool = True
    warm_up_s: float = 12.0
    alert_streams: int = 0
    """Number of ``streams`` in an app whose policy keeps them in alert."""
    admit_all: bool = False
    """Whether the policy admits streams that the machine cannot hold."""
    churn_s: float = 0.0
    starts_per_s: float = 8.0
    kill_worker: bool = False
    watch_leaks: bool = False
    looks: bool = True
    """Whether calm streams are looked at between keyframes, as streams of broadcasters that are not new."""
    bank: int = 100_000
    """Hashes in the gate's bank. With 0 there is no bank, and nothing is hashed."""
    record: Path | None = None
    """File for what has been observed so far. A long run may be interrupted."""

    @property
    def ramp_s(self) -> float:
        """Time in which all streams start, at random, and never within less than one GOP."""
        return max(GOP_S, self.streams / self.starts_per_s)


@dataclass(slots=True)
class Observed:
    """Observations of one run."""

    tallies: list[dict[str, Any]] = field(default_factory=list)
    before: Usage | None = None
    after: Usage | None = None
    elapsed_s: float = 0.0
    loads: list[dict[str, Any]] = field(default_factory=list)
    killed_at: float = 0.0
    resident: list[tuple[float, float]] = field(default_factory=list)
    """Seconds into the measured time, and MiB."""
    idle: Holdings | None = None
    loaded: Holdings | None = None
    loaded_at_end: Holdings | None = None
    left: Holdings | None = None


def run_load(run: Run, progress: Progress) -> dict[str, Any]:
    """Runs the load. Raises ConfigError when the gate does not start, RuntimeError when publishers fail."""
    seen = Observed()
    config = (
        f"[limits]\nmax_streams = {2 * run.streams + 8}\nmax_streams_per_client = {2 * run.streams + 8}\n"
        'pull_from = ["rtmp://127.0.0.1:*"]\n'
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if run.bank:
            make_bank(folder / "gate" / "banks", run.bank)
        gate = stack.enter_context(GateProcess(folder / "gate", config=config))
        _set_policy(gate, admit_all=run.admit_all, looks=run.looks)
        pull_url, ready_s = "", _START_S
        if run.pull:
            pull_url = stack.enter_context(_rtmp_server(folder / "nginx"))
            ready_s += _PULL_START_S * run.streams
        if run.watch_leaks:
            time.sleep(2.0)
            seen.idle = holdings(gate.pid)
        start_at = time.time() + ready_s
        measure_at = start_at + run.ramp_s + run.warm_up_s
        end_at = measure_at + run.seconds + 1.0
        if run.pull:
            stack.enter_context(_rtmp_publishers(run, folder, pull_url, end_at))
            assert time.time() < start_at, "the RTMP publishers took too long to connect"
        children = stack.enter_context(_callers(run, gate.grpc, pull_url, start_at, measure_at, end_at))
        _observe(run, gate, seen, start_at, measure_at, progress)
        for child in children:
            out, _ = child.communicate(timeout=60)
            if child.returncode:
                raise RuntimeError(f"a process of callers ended with {child.returncode}")
            seen.tallies += [json.loads(line) for line in out.splitlines()]
        if run.watch_leaks:
            progress("looking for what is left", 1.0)
            time.sleep(_SETTLE_S)
            seen.left = holdings(gate.pid)
    return figures(run, seen)


def _observe(
    run: Run, gate: GateProcess, seen: Observed, start_at: float, measure_at: float, progress: Progress
) -> None:
    whole_s = measure_at + run.seconds - start_at
    while (now := time.time()) < measure_at:
        progress("new streams are watched densely; warming up", max(0.0, now - start_at) / whole_s)
        time.sleep(min(0.25, max(0.0, measure_at - now)))
    seen.before = Usage.of(gate.pid, gate.http)
    began = time.monotonic()
    if run.watch_leaks:
        seen.loaded = holdings(gate.pid)
    next_sample = next_word = 0.0
    while (passed := time.monotonic() - began) < run.seconds:
        progress("measuring", 1 - (run.seconds - passed) / whole_s)
        if passed >= next_sample:
            next_sample += _SAMPLE_S
            now_held = holdings(gate.pid)
            seen.resident.append((passed, now_held.resident_mb))
            if run.watch_leaks and passed >= next_word:
                next_word += _WORD_S
                print(_word(run, seen, passed, now_held), file=sys.stderr, flush=True)
            if run.record is not None:
                _record(run, gate, seen, passed, now_held)
        if run.kill_worker and not seen.killed_at and passed > run.seconds / 3:
            seen.killed_at = time.time()
            os.kill(workers_of(gate.pid)[0], signal.SIGKILL)
        time.sleep(min(0.25, max(0.0, run.seconds - passed)))
    seen.after = Usage.of(gate.pid, gate.http)
    seen.elapsed_s = time.monotonic() - began
    seen.loads = worker_loads(gate.http)
    if run.watch_leaks:
        seen.loaded_at_end = holdings(gate.pid)


def _word(run: Run, seen: Observed, passed_s: float, held: Holdings) -> str:
    return (
        f"{passed_s:.0f} of {run.seconds:.0f} s: {held.resident_mb:.0f} MB "
        f"({held.resident_mb - seen.resident[0][1]:+.0f}), {held.processes} processes, "
        f"{held.threads} threads, {held.files} files, {held.sockets} sockets"
    )


def _record(run: Run, gate: GateProcess, seen: Observed, passed_s: float, held: Holdings) -> None:
    """Writes the record atomically, so that it is whole whenever the run ends."""
    assert run.record is not None
    assert seen.before is not None
    usage = Usage.of(gate.pid, gate.http)
    so_far = {
        "complete": False,
        "streams": run.streams,
        "seconds": round(passed_s, 1),
        "planned_seconds": run.seconds,
        "cpu_s": round(usage.cpu_s - seen.before.cpu_s, 2),
        "decoded": usage.decoded - seen.before.decoded,
        "judged": usage.judged - seen.before.judged,
        "rss_mb": [(round(at), mb) for at, mb in seen.resident],
        "holdings": {
            word: stage.as_json()
            for word, stage in (("idle", seen.idle), ("loaded", seen.loaded), ("now", held))
            if stage is not None
        },
    }
    part = run.record.with_name(f".{run.record.name}.part")
    part.write_text(json.dumps(so_far), encoding="utf-8")
    part.replace(run.record)


@contextlib.contextmanager
def _callers(
    run: Run, gate: str, pull_url: str, start_at: float, measure_at: float, end_at: float
) -> Iterator[list[subprocess.Popen[bytes]]]:
    streams = [
        (ALERT_APP if number < run.alert_streams else "load", f"stream{number}")
        for number in range(run.streams)
    ]
    children = []
    try:
        for number in range(run.publishers):
            child = subprocess.Popen(
                [sys.executable, "-c", "from benchmarks._publishers import main; raise SystemExit(main())"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            children.append(child)
            plan = Plan(
                gate,
                run.loop,
                tuple(streams[number :: run.publishers]),
                start_at,
                measure_at,
                end_at,
                number,
                run.honour_tiers,
                pull_url,
                run.churn_s,
                measure_at + run.seconds,
                run.ramp_s,
            )
            assert child.stdin is not None
            pickle.dump(plan, child.stdin)
            child.stdin.close()
            child.stdin = None
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()


@contextlib.contextmanager
def _rtmp_server(folder: Path) -> Iterator[str]:
    """Runs a plain nginx-rtmp that only relays, for the gate to pull. Yields the URL with
    ``{name}`` in it."""
    folder.mkdir()
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} pid nginx.pid; error_log error.log;\n"
        "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n"
        "events { worker_connections 4096; }\n"
        f"rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}\n"
    )
    with (folder / "nginx.out").open("wb") as output:
        server = subprocess.Popen(
            ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        time.sleep(0.5)
        if server.poll() is not None:
            raise RuntimeError("nginx with its RTMP module: " + (folder / "nginx.out").read_text())
        yield f"rtmp://127.0.0.1:{port}/live/{{name}}"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def _rtmp_publishers(run: Run, folder: Path, url: str, end_at: float) -> Iterator[None]:
    units = [AccessUnit(u.pts_ms, u.dts_ms, u.keyframe, u.data, 0.0) for u in run.loop.units]
    clip = write_clip(units, Codec(run.loop.codec), run.loop.extradata, folder, "loop")
    names = [f"stream{number}" for number in range(run.streams)]
    command = [sys.executable, "-m", "benchmarks._rtmp_publishers", str(clip.path), url, str(end_at + 5)]
    publisher = subprocess.Popen([*command, *names], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert publisher.stdout is not None
        if publisher.stdout.readline().strip() != b"live":
            raise RuntimeError("the RTMP publishers did not start")
        yield
    finally:
        publisher.kill()
        publisher.wait()


def _set_policy(gate: GateProcess, *, admit_all: bool, looks: bool) -> None:
    """Sets a policy under which streams of the alert app stay in alert and are never flagged or cut.

    No broadcaster is new in it. Otherwise the first five minutes would say nothing of the hours after them.
    """
    token = parse_tokens(gate.tokens)[0].token.get_secret_value()
    metadata = (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(gate.grpc) as channel:
        operator: Any = operator_pb2_grpc.OperatorStub(channel)
        stored = operator.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=metadata)
        policy = json.loads(stored.json)
        always = {"release_at": 0.0, "raise_at": 0.0, "flag_at": 1.0, "cut_at": 1.0}
        policy["apps"] = {ALERT_APP: {"categories": dict.fromkeys(policy["categories"], always)}}
        policy["looks"]["new_ms"] = 0
        if not looks:
            policy["looks"] |= {"low_ms": 0, "raised_ms": 0, "high_ms": 0}
        if admit_all:
            policy["failure"]["on_capacity"] = "allow"
        request = operator_pb2.SetPolicyRequest(json=json.dumps(policy), reason="benchmark")
        operator.SetPolicy(request, metadata=metadata)
