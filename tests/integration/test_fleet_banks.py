"""Gates on one PostgreSQL: known footage of one is matched at the others, the database away or not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.gate_process import GateProcess
from edge.match import Bank, VariantSet, bank_info, fingerprint
from tests.integration.calls import TIMEOUT_S, admit, give_time, read_units, requests, until, write_footage
from tests.postgresql import Cluster
from tests.running_gate import metrics

pytestmark = pytest.mark.integration

CONFIG = """
ledger_url = "{url}"
gate_name = "{name}"
[workers]
count = 1
spare = 0
"""


def hashes(gate: GateProcess) -> float:
    (line,) = (line for line in metrics(gate).splitlines() if line.startswith("edge_bank_hashes "))
    return float(line.split()[1])


def shown(stub: Any, broadcaster: str, extradata: bytes, units: Sequence[gate_pb2.AccessUnit]) -> Any:
    """The CUT, if there is one."""
    stream_id = admit(stub, broadcaster).stream_id
    call = stub.Watch(requests(stream_id, extradata, units, pace=0.03), timeout=TIMEOUT_S)
    cut = next((a.verdict for a in call if a.verdict.action == gate_pb2.ACTION_CUT), None)
    call.cancel()
    return cut


def test_known_footage_of_one_gate_is_cut_at_the_others(postgresql: Cluster, tmp_path: Path) -> None:
    store = postgresql.new_store(tmp_path)
    schema = store.url.rpartition("%3D")[2]
    clip = tmp_path / "known.mp4"
    write_footage(clip, seconds=6)
    known = fingerprint(clip, entry_id="known", variants=VariantSet.NONE)
    extradata, units = read_units(clip)
    one, two, new = (tmp_path / name for name in ("one", "two", "new"))

    def gate_at(folder: Path) -> GateProcess:
        return GateProcess(folder, config=CONFIG.format(url=store.url, name=folder.name))

    with gate_at(one), gate_at(two) as other:
        # By a command on the folder, while the gate runs.
        path = str(one / "banks" / "films")
        subprocess.run(
            [sys.executable, "-m", "edge.cli", "bank", "set", path, "--label", "attack"], check=True
        )
        Bank.open(one / "banks" / "films").add_footage([known])
        until(lambda: hashes(other), lambda there: there == len(known.hashes))
        with grpc.insecure_channel(other.grpc) as channel:
            give_time(other, channel)
            stub: Any = gate_pb2_grpc.GateStub(channel)
            # Until the workers have the bank, and its new entry is checked: before that it only flags.
            cuts = (shown(stub, f"anna{number}", extradata, units) for number in range(20))
            cut = next(filter(None, cuts))
            assert (cut.reason, cut.category) == ("match", "attack")

        store.execute(f"ALTER SCHEMA {schema} RENAME TO away")
        more = Bank.create(one / "banks" / "more", bank_info(label="attack"))
        more.add_footage([known])
        Bank.open(two / "banks" / "films").set_enabled(["known"], False)
        store.execute(f"ALTER SCHEMA away RENAME TO {schema}")
        until(lambda: hashes(other), lambda there: there == 2 * len(known.hashes))
        until(lambda: Bank.open(one / "banks" / "films").manifest.disabled, lambda there: there == ("known",))
        with gate_at(new) as joined:
            until(lambda: hashes(joined), lambda there: there == 2 * len(known.hashes))
            assert Bank.open(new / "banks" / "films").manifest.disabled == ("known",)
