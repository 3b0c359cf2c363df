"""How a worker process starts and ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.gate_process import GateProcess
from tests.shipped_pack import copy_pack, manifest_of, motion_of, write_manifest


def test_a_worker_starts_without_what_only_its_supervisor_needs() -> None:
    """Whoever waits for a worker waits for all of its imports, and each worker holds them in memory."""
    program = "import json, sys, edge.workers.process; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", program], text=True))
    rooms = {name.split(".")[1] for name in loaded if name.startswith("edge.")}
    assert not rooms & {"api", "cli", "config", "ledger", "servers", "supervise", "webhook"}
    assert not {name.split(".")[0] for name in loaded} & {"sqlalchemy", "alembic", "grpc", "uvicorn"}


def test_a_worker_imports_nothing_for_colours_on_a_terminal() -> None:
    """structlog imports rich where it is there, which took a tenth of each start."""
    command = [sys.executable, "-X", "importtime", "-m", "edge.workers"]
    said = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False).stderr
    assert "edge.workers.loop" in said
    assert "structlog" in said
    assert "rich.console" not in said


def test_a_gate_whose_model_scores_differently_here_says_so_and_does_not_start(tmp_path: Path) -> None:
    """Its workers wrote a traceback, and the gate said that the message was above it."""
    model = copy_pack(tmp_path / "model")
    manifest = manifest_of(model)
    motion_of(manifest)["recorded"]["noise"] = [0.5]
    write_manifest(model, manifest)
    gate = GateProcess(tmp_path / "data", config=f'model_dir = "{model}"\n')
    with pytest.raises(ConfigError, match=r"worker \d+ cannot judge: .*sample 'noise' scores 0\.49"), gate:
        pass
    assert "Traceback" not in gate.log()
