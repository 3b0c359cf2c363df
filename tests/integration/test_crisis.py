"""A clip that a person gives to a crisis at a running gate is cut, although the gate was in shadow mode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc

from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.gate_process import GateProcess
from tests.integration.calls import TIMEOUT_S, admit, read_units, requests, until, write_footage
from tests.running_gate import metrics

POLICY = {"mode": "shadow", "budget_ms": 5000}
CONFIG = "[workers]\ncount = 1\n"
ENVIRONMENT = {"EDGE_WORKERS__SPARE": "0"}


def crisis(gate: GateProcess, *arguments: str) -> Any:
    """Runs `edge-gate crisis` and reads its JSON."""
    command = [sys.executable, "-m", "edge.cli", "crisis", *arguments, "--json"]
    command += ["--gate", gate.grpc, "--tokens", str(gate.tokens)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=2 * TIMEOUT_S)
    assert ended.returncode == 0, (ended.stdout, ended.stderr, gate.log()[-3000:])
    return json.loads(ended.stdout)


def is_cut(gate: GateProcess, clip: Path, broadcaster: str) -> bool:
    extradata, units = read_units(clip)
    with grpc.insecure_channel(gate.grpc) as channel:
        stub: Any = gate_pb2_grpc.GateStub(channel)
        stream_id = admit(stub, broadcaster).stream_id
        call = stub.Watch(requests(stream_id, extradata, units, pace=0.03), timeout=TIMEOUT_S)
        return any(answer.verdict.action == gate_pb2.ACTION_CUT for answer in call)


def test_a_given_clip_is_cut_and_a_restart_keeps_the_crisis(tmp_path: Path) -> None:
    clip = tmp_path / "known.mp4"
    write_footage(clip, seconds=2)
    with GateProcess(tmp_path / "gate", config=CONFIG, environment=ENVIRONMENT, policy=POLICY) as gate:
        made = crisis(gate, "declare", "attack", "--for", "1h", "--reason", "an attack is shown live")
        assert (made["state"], made["bank"]) == ("in_force", "crisis-attack")
        (added,) = crisis(gate, "add", "attack", str(clip))["added"]
        assert added["hashes"] > 0
        until(lambda: metrics(gate), lambda said: f"edge_bank_hashes {float(added['hashes'])}" in said)
        # Until the workers have the bank, and its new entry is checked: before that it only flags.
        assert any(is_cut(gate, clip, f"anna{number}") for number in range(20))
    with GateProcess(tmp_path / "gate", config=CONFIG, environment=ENVIRONMENT, policy=POLICY) as gate:
        assert any(is_cut(gate, clip, f"berta{number}") for number in range(20))
        report = until(lambda: crisis(gate, "show", "attack"), lambda said: said["cuts"] == 2)
        assert (report["given"], report["added"]) == (1, 1)
        assert sum(report["by_variant"].values()) == report["copies"] >= 2
        assert crisis(gate, "end", "attack", "--reason", "over")["state"] == "ended"
        assert not is_cut(gate, clip, "carla")
