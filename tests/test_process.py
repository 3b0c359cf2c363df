"""Importing ``edge`` changes nothing in the process; the commands choose gRPC's listener before it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

_STATE = """
import importlib, json, os, pkgutil, signal, sys, threading, warnings
import numpy  # adds warning filters of its own

def state():
    return {
        "environment": dict(os.environ),
        "signal handlers": {str(number): str(signal.getsignal(number)) for number in signal.valid_signals()},
        "threads": [thread.name for thread in threading.enumerate()],
        "sys.path": list(sys.path),
        "warning filters": [str(each) for each in warnings.filters],
        "hooks": [str(sys.excepthook), str(sys.unraisablehook), str(threading.excepthook)],
    }

before = state()
import edge
rooms = [f"edge.{each.name}" for each in pkgutil.iter_modules(edge.__path__)]
for room in rooms:
    importlib.import_module(room)
after = state()
changed = {what: [before[what], after[what]] for what in before if before[what] != after[what]}
print(json.dumps({"rooms": rooms, "changed": changed}))
"""

_AT_IMPORT = """
import builtins, os, sys
whole = builtins.__import__

def noted(name, *rest, **more):
    if name == "grpc" and "grpc" not in sys.modules:
        print("grpc was imported with", os.environ.get("GRPC_EXPERIMENTS"))
    return whole(name, *rest, **more)

builtins.__import__ = noted
from edge.cli import main
sys.argv = ["edge-gate", "block", "--help"]
main()
"""


def _run(program: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_importing_every_room_changes_nothing_in_the_process() -> None:
    seen = json.loads(_run(_STATE))
    assert "edge.supervise" in seen["rooms"]
    assert seen["changed"] == {}


def test_commands_choose_the_listener_before_grpc_loads() -> None:
    assert "grpc was imported with -event_engine_listener" in _run(_AT_IMPORT)
