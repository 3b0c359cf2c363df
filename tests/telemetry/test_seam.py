"""Events of the product go through telemetry. What code logs by itself is a diagnostic of a part.

The rule stands in CONTRIBUTING.md. A line outside of telemetry is a warning or an error. It names no stream,
incident, block, broadcaster, address or person.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
OF_EVENTS = {"info", "critical"}
"""Levels of what went as it should, and of what calls a person: both are events."""
NAMES = {
    "stream_id",
    "incident_id",
    "block_id",
    "broadcaster",
    "app",
    "name",
    "address",
    "connection",
    "by",
    "who",
    "subject",
    "publish",
}
OWN_PROCESSES = {
    "edge/workers/banks.py",
    "edge/workers/evidence_media.py",
    "edge/workers/evidence_writer.py",
    "edge/workers/loop.py",
}
"""They run in a worker process. It tells the gate its events over its channel, and logs its own faults."""


def logged() -> Iterator[tuple[str, int, str, set[str]]]:
    """File, line, level and fields of every line that is logged outside of telemetry."""
    for path in sorted((ROOT / "edge").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("edge/telemetry/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "logger"), attr=level)):
                    if level in LEVELS:
                        yield name, node.lineno, level, {each.arg or "**" for each in node.keywords}


def test_events_of_the_product_are_records() -> None:
    lines = list(logged())
    assert len(lines) > 50
    wrong = [
        f"{file}:{number}: {level} {sorted(fields & NAMES)}"
        for file, number, level, fields in lines
        if level != "debug" and file not in OWN_PROCESSES and (level in OF_EVENTS or fields & NAMES)
    ]
    assert wrong == []


def test_every_exception_is_needed() -> None:
    used = {file for file, _, level, fields in logged() if level in OF_EVENTS or fields & NAMES}
    assert used >= OWN_PROCESSES
