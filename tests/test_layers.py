"""Rooms are layers: an import goes down, never up or across.

Every import counts, also one in a function or under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LAYERS = (
    "edge.cli",  # the commands
    "edge.gate_process",
    "edge.sidecar",  # the composition root
    "edge.reloading",  # of settings, tokens and certificates
    "edge.console",  # the pages for people
    "edge.api",  # the servicers
    "edge.supervise",
    "edge.config",  # puts together the sections that rooms own
    "edge.pullers",  # the processes that open pulled streams
    "edge.workers",
    "edge.ingest",  # the reference ingest: a client of the contract
    "edge.servers",  # ingest servers: hooks and connectors
    "edge.tuning",
    "edge.replay",
    "edge.report",
    "edge.webhook",
    "edge.exchange",  # hash lists of other organisations
    "edge.sharing",  # banks that companies give each other
    "edge.fleet",  # how gates ask each other
    "edge.fleet_banks",  # one bank for the fleet
    "edge.contract",  # generated code and conversions
    "edge.ledger",
    "edge.evidence",
    "edge.stream",
    "edge.policy_fields",  # as forms show them
    "edge.policy_changes",
    "edge.policy_warnings",
    "edge.detect",
    "edge.match",
    "edge.decide",
    "edge.notices",
    "edge.crisis",  # what one does to the policy
    "edge.ladder",
    "edge.priority",  # of what people look at
    "edge.policy",
    "edge.intervals",
    "edge.json_schema",
    "edge.pages",  # HTML from templates
    "edge.crash_points",
    "edge.telemetry",
    "edge.media_clock",  # the gate's own media time
    "edge.timestamps",
    "edge.reconfiguration",  # decoder configurations that change in mid-stream
    "edge.annexb",
    "edge.domain",
    "edge.retention",  # how long evidence is kept
    "edge.banking",  # what of an incident becomes known footage
    "edge.background",
    "edge.turns",  # of the event loop
    "edge.backoff",
    "edge.own_process",
    "edge.reopenings",
    "edge.section",
    "edge.reasons",  # the words that say why
    "edge.clock",
    "edge.grpc_listener",
    "edge.confusables",  # names that look alike
    "edge.names",  # how names are compared
    "edge.places",  # bounded, for strangers
    "edge.allowance",  # how often, for strangers
    "edge.descriptors",  # of files
    "edge.recorded_media",  # files of media
    "edge.settings_file",  # files that an operator names
    "edge.durable_files",  # written whole, or not at all
    "edge.containment",  # what processes that touch media may do
    "edge.pull_sources",  # where pulls may go
    "edge.errors",
    "edge.printable",  # how untrusted text is shown
    "edge",  # the version
)
"""From the top down. A room imports from itself and from rooms below it."""

MATCH_LAYERS = (
    "edge.match",  # The names that other rooms use.
    "edge.match.file_matcher",
    "edge.match.entry_check",  # new entries against what may be shown
    "edge.match.retro_match",  # new entries in what streams have shown
    "edge.match.stream_matcher",
    "edge.match.bank_reload",
    "edge.match.matcher",
    "edge.match.formats",
    "edge.match.incident_bank",
    "edge.match.bank_file",
    "edge.match.bankable",
    "edge.match.recent_footage",
    "edge.match.contained_fingerprint",
    "edge.match.fingerprint_process",
    "edge.match.footage_message",
    "edge.match.fingerprint",
    "edge.match.display_matrix",
    "edge.match.bank",
    "edge.match.evasion",
    "edge.match.audio",
    "edge.match.index",
    "edge.match.vote",
    "edge.match.entry",
    "edge.match.stillness",
    "edge.match.pdq",
)
"""The same for the parts of the largest room."""


@cache
def _modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted((ROOT / "edge").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_bytes(), str(path))
    return found


def _imports(module: str, tree: ast.Module, names: Mapping[str, object]) -> Iterator[tuple[str, int]]:
    """Modules of ours that a module imports, with line numbers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if _ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: a relative import hides its layer"
            if node.module and _ours(node.module):
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield (name if name in names else node.module), node.lineno


def _ours(name: str) -> bool:
    return name == "edge" or name.startswith("edge.")


def _layer(module: str, layers: tuple[str, ...]) -> str:
    """The most specific layer that contains a module."""
    holding = [layer for layer in layers if module == layer or module.startswith(f"{layer}.")]
    return max(holding, key=len)


@cache
def _graph() -> dict[str, list[tuple[str, int]]]:
    modules = _modules()
    return {name: sorted(set(_imports(name, tree, modules))) for name, tree in modules.items()}


def _upward(layers: tuple[str, ...], inside: str) -> dict[str, list[str]]:
    """Imports that do not go down: layer -> layer, with their places."""
    depth = {layer: index for index, layer in enumerate(layers)}
    wrong: dict[str, list[str]] = {}
    for module, imported in _graph().items():
        if module != inside and not module.startswith(f"{inside}."):
            continue
        here = _layer(module, layers)
        for name, line in imported:
            if name != inside and not name.startswith(f"{inside}."):
                continue
            there = _layer(name, layers)
            if depth[there] < depth[here]:
                wrong.setdefault(f"{here} -> {there}", []).append(f"{module}:{line} imports {name}")
    return wrong


def test_imports_go_down() -> None:
    assert _upward(LAYERS, "edge") == {}


def test_imports_inside_of_match_go_down() -> None:
    assert _upward(MATCH_LAYERS, "edge.match") == {}


@pytest.mark.parametrize(("layers", "package"), [(LAYERS, "edge"), (MATCH_LAYERS, "edge.match")])
def test_every_room_is_a_layer_and_every_layer_a_room(layers: tuple[str, ...], package: str) -> None:
    depth = package.count(".") + 2
    rooms = {
        ".".join(name.split(".")[:depth]) for name in _modules() if _layer(name, (package, "edge")) == package
    }
    assert rooms == set(layers)


def test_no_modules_import_each_other() -> None:
    graph = {name: {other for other, _ in imported if other != name} for name, imported in _graph().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
