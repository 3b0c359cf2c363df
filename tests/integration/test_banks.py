"""A running gate finds known footage whatever happens to the files of its banks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.gate_process import GateProcess
from edge.match import Bank, VariantSet, bank_info, fingerprint
from tests.integration.calls import (
    TIMEOUT_S,
    admit,
    give_time,
    read_units,
    repeated,
    requests,
    until,
    workers_of,
    write_footage,
)
from tests.running_gate import metrics, until_metric
from tests.shipped_pack import copy_pack

CONFIG = "[workers]\ncount = 1\n"
ENVIRONMENT = {"EDGE_WORKERS__SPARE": "0"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("footage") / "known.mp4"
    write_footage(path, seconds=6)
    return path


def is_cut(gate: GateProcess, clip: Path, broadcaster: str) -> bool:
    """Whether the known clip, published anew, is cut by a match."""
    extradata, units = read_units(clip)
    with grpc.insecure_channel(gate.grpc) as channel:
        give_time(gate, channel)
        stub: Any = gate_pb2_grpc.GateStub(channel)
        stream_id = admit(stub, broadcaster).stream_id
        call = stub.Watch(requests(stream_id, extradata, units, pace=0.03), timeout=TIMEOUT_S)
        return any(
            answer.verdict.action == gate_pb2.ACTION_CUT and answer.verdict.reason == "match"
            for answer in call
        )


def restart_worker(gate: GateProcess) -> None:
    (before,) = workers_of(gate.pid)
    os.kill(before, signal.SIGKILL)
    until(lambda: workers_of(gate.pid), lambda pids: len(pids) == 1 and before not in pids)
    until(lambda: metrics(gate), lambda said: "edge_bank_hashes 0.0" not in said)


def is_mapped(gate: GateProcess, path: Path) -> bool:
    """Whether a worker reads this very file."""
    found = False
    for pid in workers_of(gate.pid):
        with contextlib.suppress(OSError):
            found |= f" {path}\n" in Path(f"/proc/{pid}/maps").read_text()
    return found


def health(gate: GateProcess) -> str:
    return httpx.get(f"http://{gate.http}/healthz", timeout=TIMEOUT_S).text


def test_a_restart_forgets_nothing(tmp_path: Path, clip: Path) -> None:
    data = tmp_path / "gate"
    model = copy_pack(tmp_path / "model")
    config = f"model_dir = {json.dumps(str(model))}\n{CONFIG}"
    bank = Bank.create(data / "banks" / "known", bank_info(label="attack"))
    bank.add_footage([fingerprint(clip, entry_id="known", variants=VariantSet.NONE)])
    with GateProcess(data, config=config, environment=ENVIRONMENT) as gate:
        assert health(gate) == "ok\n"
        os.truncate(next(model.glob("*.onnx")), 1000)
        os.truncate(bank.segments[0].path, 200)
        until_metric(gate, 'edge_alarms{part="banks",reason="unreadable"} 1.0')
        until_metric(gate, "edge_banks_unreadable 1.0")
        assert "alarm: banks unreadable known\n" in health(gate)  # the model's may have come, too
        restart_worker(gate)
        assert is_cut(gate, clip, "anna")
    with GateProcess(data, config=config, environment=ENVIRONMENT) as gate:
        until(
            lambda: health(gate),
            lambda said: said == "ok\nalarm: banks unreadable known\nalarm: model unreadable\n",
        )
        assert is_cut(gate, clip, "berta")
        shutil.rmtree(data / "banks")
        until_metric(gate, 'edge_alarms{part="banks",reason="missing"} 1.0')
        assert 'edge_alarms{part="banks",reason="unreadable"} 0.0' in metrics(gate)
        assert is_cut(gate, clip, "carla")


def test_a_crash_in_the_banks_is_no_streams_fault(tmp_path: Path, clip: Path) -> None:
    """On a broken disk even the copy that workers map may shrink. The stream is watched on."""
    data = tmp_path / "gate"
    other = tmp_path / "other.mp4"
    write_footage(other, seconds=3, width=352, height=288)
    bank = Bank.create(data / "banks" / "known", bank_info(label="attack"))
    bank.add_footage([fingerprint(other, entry_id="known", variants=VariantSet.NONE)])
    extradata, units = read_units(clip)
    with (
        GateProcess(data, config=CONFIG, environment=ENVIRONMENT) as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        give_time(gate, channel)
        stub: Any = gate_pb2_grpc.GateStub(channel)
        stream_id = admit(stub, "anna").stream_id
        call = stub.Watch(
            requests(stream_id, extradata, repeated(units, 20), pace=0.03), timeout=3 * TIMEOUT_S
        )
        (copy,) = Bank.open(data / "bank-copies" / "known").segments
        crashes, judged_after = 0, 0
        for answer in call:
            if answer.degraded.reason == "worker_lost":
                crashes += 1
            if answer.WhichOneof("response") == "verdict":
                whole = copy.path.stat().st_size == copy.size_bytes
                if crashes < 2 and whole and is_mapped(gate, copy.path):
                    os.truncate(copy.path, 0)
                judged_after += crashes >= 2
            if judged_after >= 3:
                break
        call.cancel()
        assert judged_after, gate.log()[-3000:]
        assert "quarantined" not in gate.log()
        assert '"in_matcher": true' in gate.log()
        until(lambda: metrics(gate), lambda said: "edge_matching_failed_total 0.0" not in said)
        assert "alarm: banks failed" in health(gate)
        until(lambda: copy.path.stat().st_size, lambda size: size == copy.size_bytes)


def test_folders_of_workers_that_are_deleted_are_made_again_and_workers_replaced(
    tmp_path: Path, clip: Path
) -> None:
    """A contained worker cannot use another folder of the same name."""
    data = tmp_path / "gate"
    bank = Bank.create(data / "banks" / "known", bank_info(label="attack"))
    bank.add_footage([fingerprint(clip, entry_id="known", variants=VariantSet.NONE)])
    with GateProcess(data, config=CONFIG, environment=ENVIRONMENT) as gate:
        (before,) = workers_of(gate.pid)
        gone = ("bank-copies", "models", "evidence/incoming")
        for folder in gone:
            shutil.rmtree((data / folder).rename(tmp_path / "away"))
        until(lambda: workers_of(gate.pid), lambda pids: len(pids) == 1 and before not in pids)
        said = health(gate)
        assert [f"alarm: workers folder_gone {Path(folder).name}" in said for folder in gone] == [True] * 3
        until(lambda: metrics(gate), lambda said: "edge_bank_hashes 0.0" not in said)
        assert is_cut(gate, clip, "anna")
        until(lambda: list((data / "evidence").glob("*.mp4")), bool)
        # Without the folder itself: what was in it is copied again.
        for path in (data / "bank-copies").iterdir():
            path.unlink()
        until(lambda: list((data / "bank-copies").glob("*.bank")), bool)
        assert is_cut(gate, clip, "berta")
        assert "quarantined" not in gate.log()
