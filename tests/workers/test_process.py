"""How a worker process starts and ends."""

from __future__ import annotations

import json
import subprocess
import sys


def test_a_worker_starts_without_what_only_its_supervisor_needs() -> None:
    """Whoever waits for a worker waits for all of its imports, and each worker holds them in memory."""
    program = "import json, sys, edge.workers.process; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", program], text=True))
    rooms = {name.split(".")[1] for name in loaded if name.startswith("edge.")}
    assert not rooms & {"api", "cli", "config", "ledger", "servers", "supervise", "webhook"}
    assert not {name.split(".")[0] for name in loaded} & {"sqlalchemy", "alembic", "grpc", "uvicorn"}
