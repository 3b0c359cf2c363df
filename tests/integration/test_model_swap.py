"""Swaps the model of a running gate: other files, another digest, and streams that go on."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from edge.api.auth import parse_tokens
from edge.cli.app import app
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.detect import default_model_directory, read_pack
from edge.gate_process import GateProcess
from tests.integration.calls import TIMEOUT_S, admit, read_units, requests, workers_of, write_footage
from tests.shipped_pack import copy_pack, manifest_of, motion_of, write_manifest

SECONDS = 3
"""Seconds of footage, which is repeated."""
WIDE_MS = 1000.0
"""A wide budget: another process may have the core while the model is timed."""


def copied(place: Path, version: str, **input_: Any) -> Path:
    """The shipped pack under another version, and so with another digest."""
    manifest = manifest_of(copy_pack(place, version=version))
    motion_of(manifest)["input"] |= input_
    write_manifest(place, manifest)
    return place


class Streams:
    """Streams in real time until they are stopped, and all answers of the gate."""

    def __init__(self, stub: Any, footage: tuple[bytes, list[gate_pb2.AccessUnit]], count: int) -> None:
        self.said: list[list[gate_pb2.WatchResponse]] = [[] for _ in range(count)]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(stub, footage, index)) for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _watch(self, stub: Any, footage: tuple[bytes, list[gate_pb2.AccessUnit]], index: int) -> None:
        extradata, units = footage
        messages = requests(admit(stub, f"b{index}").stream_id, extradata, self._shown(units), pace=0.04)
        note = self.said[index].append  # Not ``extend``, because the list is read while it grows.
        for each in stub.Watch(messages, timeout=4 * TIMEOUT_S):
            note(each)

    def _shown(self, units: list[gate_pb2.AccessUnit]) -> Iterator[gate_pb2.AccessUnit]:
        for turn in itertools.count():
            for unit in units:
                if self._stop.is_set():
                    return
                shown = gate_pb2.AccessUnit()
                shown.CopyFrom(unit)
                shown.pts_ms += turn * SECONDS * 1000
                shown.dts_ms += turn * SECONDS * 1000
                yield shown

    def await_verdicts(self, count: int, digest: str = "") -> None:
        """Waits until each stream has this many verdicts of the model, or of any model."""
        deadline = time.monotonic() + 2 * TIMEOUT_S
        for index in range(len(self.said)):
            while sum(v.model_digest == digest or not digest for v in self.verdicts(index)) < count:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(4 * TIMEOUT_S)
            assert not thread.is_alive()

    def verdicts(self, index: int) -> list[gate_pb2.Verdict]:
        return [each.verdict for each in list(self.said[index]) if each.HasField("verdict")]

    def degraded(self) -> list[str]:
        return [each.degraded.reason for said in self.said for each in said if each.HasField("degraded")]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with GateProcess(tmp_path_factory.mktemp("gate"), config="[workers]\ncount = 2\n") as running:
        yield running


@pytest.fixture(scope="module")
def channel(gate: GateProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gate.grpc) as opened:
        yield opened


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[gate_pb2.AccessUnit]]:
    path = tmp_path_factory.mktemp("footage") / "moving.mp4"
    write_footage(path, SECONDS)
    return read_units(path)


@pytest.fixture
def operator(gate: GateProcess, channel: grpc.Channel) -> Any:
    stub = operator_pb2_grpc.OperatorStub(channel)
    token = parse_tokens(gate.tokens)[0].token.get_secret_value()
    metadata = (("authorization", f"Bearer {token}"),)

    def call(name: str, request: Any) -> Any:
        return getattr(stub, name)(request, metadata=metadata, timeout=4 * TIMEOUT_S)

    return call


def swap(operator: Any, directory: Path, **fields: Any) -> operator_pb2.Model:
    request = operator_pb2.SetModelRequest(
        directory=str(directory), reason="test", budget_ms=WIDE_MS, **fields
    )
    model: operator_pb2.Model = operator("SetModel", request)
    return model


def in_force(operator: Any) -> operator_pb2.Model:
    model: operator_pb2.Model = operator("GetModel", operator_pb2.GetModelRequest())
    return model


@pytest.mark.parametrize("planes", [{}, {"short_side": 260}], ids=["same planes", "other planes"])
def test_running_streams_change_between_two_samples(
    channel: grpc.Channel, operator: Any, footage: Any, tmp_path: Path, planes: dict[str, int]
) -> None:
    before = in_force(operator)
    # A wide budget, so that no sample is shed because the machine is busy.
    policy = json.loads(operator("GetPolicy", operator_pb2.GetPolicyRequest()).json) | {"budget_ms": 10_000}
    operator("SetPolicy", operator_pb2.SetPolicyRequest(json=json.dumps(policy)))
    streams = Streams(gate_pb2_grpc.GateStub(channel), footage, 2)
    streams.await_verdicts(3)
    after = swap(operator, copied(tmp_path / "model", f"test{len(planes)}", **planes))
    assert after.digest != before.digest
    assert (after.version, after.set_by) == (f"test{len(planes)}", "local")
    assert in_force(operator).digest == after.digest
    streams.await_verdicts(4, after.digest)
    streams.end()
    assert streams.degraded() == []
    for index in range(2):
        verdicts = streams.verdicts(index)
        digests = [verdict.model_digest for verdict in verdicts]
        changed = digests.index(after.digest)
        assert set(digests[:changed]) == {before.digest}
        assert set(digests[changed:]) == {after.digest}
        times = [verdict.pts_ms for verdict in verdicts]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        # No sample is missing: around the swap the gaps are no larger than in calm tier.
        assert max(gaps[max(0, changed - 2) : changed + 2]) <= 1400


def test_what_does_not_pass_is_refused_whole(
    gate: GateProcess, channel: grpc.Channel, operator: Any, footage: Any, tmp_path: Path
) -> None:
    copies = gate.tokens.parent / "models"
    swap(operator, copied(tmp_path / "earlier", "earlier"))
    swap(operator, copied(tmp_path / "current", "current"))
    before = in_force(operator)
    streams = Streams(gate_pb2_grpc.GateStub(channel), footage, 1)
    torn = copied(tmp_path / "torn", "torn")
    file = next(torn.glob("*.onnx"))
    file.write_bytes(file.read_bytes()[:-1000])
    nonsense = copied(tmp_path / "nonsense", "nonsense")
    manifest = manifest_of(nonsense)
    motion_of(manifest)["output"]["embedding_size"] = 7
    for category in motion_of(manifest)["categories"]:
        category["head"] = {"logit_mean": 1.0}
    write_manifest(nonsense, manifest)
    blind = copied(tmp_path / "blind", "blind")
    manifest = manifest_of(blind)
    motion_of(manifest)["categories"][0]["name"] = "gore"
    write_manifest(blind, manifest)
    good = copied(tmp_path / "good", "good")
    for directory, fields, named in (
        (torn, {}, "bytes, manifest model.bytes says"),
        (nonsense, {}, "output 'embedding'"),
        (blind, {}, "does not judge fight"),
        (tmp_path / "absent", {}, "manifest.json"),
        (good, {"expected_digest": "0" * 64}, "is not the expected"),
        (Path("relative"), {}, "absolute path"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            swap(operator, directory, **fields)
        assert named in str(caught.value.details())
        assert caught.value.code() in {
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.INVALID_ARGUMENT,
        }
        assert "/models/" not in str(caught.value.details())  # Not the gate's own copy.
    assert in_force(operator) == before
    settings_own = read_pack(default_model_directory()).digest
    assert {place.name for place in copies.glob("*/")} == {before.digest, settings_own}
    streams.await_verdicts(len(streams.verdicts(0)) + 2)
    streams.end()
    assert {verdict.model_digest for verdict in streams.verdicts(0)} == {before.digest}


def test_new_workers_and_a_new_gate_have_it(tmp_path: Path, footage: Any) -> None:
    model = copied(tmp_path / "model", "kept")
    wanted = read_pack(model).digest
    with (
        GateProcess(tmp_path / "gate", config="[workers]\ncount = 1\n") as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        where = ("--gate", gate.grpc, "--tokens", str(gate.tokens), "--json")
        command = ["model", "swap", str(model), "--reason", "better", "--budget-ms", str(WIDE_MS)]
        swapped = CliRunner().invoke(app, [*command, *where])
        assert swapped.exit_code == 0, swapped.output
        assert json.loads(swapped.stdout)["digest"] == wanted
        shutil.rmtree(model)  # The gate has a copy of the files that it verified.
        old = workers_of(gate.pid)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + TIMEOUT_S
        while not (found := workers_of(gate.pid)) or set(found) & set(old):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        while not admit(gate_pb2_grpc.GateStub(channel), "nobody").allowed:  # Waits until the worker is up.
            assert time.monotonic() < deadline
            time.sleep(0.1)
        said = Streams(gate_pb2_grpc.GateStub(channel), footage, 1)
        said.await_verdicts(2)
        said.end()
        assert {verdict.model_digest for verdict in said.verdicts(0)} == {wanted}
    with GateProcess(tmp_path / "gate", config="[workers]\ncount = 1\n") as gate:
        assert gate.ready["model_digest"] == wanted
        where = ("--gate", gate.grpc, "--tokens", str(gate.tokens), "--json")
        shown = json.loads(CliRunner().invoke(app, ["model", "show", *where]).stdout)
        assert (shown["digest"], shown["reason"], shown["set_by"]) == (wanted, "better", "local")
        audit = CliRunner().invoke(app, ["audit", "export", "--data-dir", str(tmp_path / "gate")])
        assert wanted in audit.stdout
