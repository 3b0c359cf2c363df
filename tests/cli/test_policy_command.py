"""``edge-gate policy`` against a real gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge.cli.app import app
from edge.gate_process import GateProcess


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with GateProcess(tmp_path_factory.mktemp("gate"), config="[workers]\ncount = 1\n") as running:
        yield running


@pytest.fixture
def policy(gate: GateProcess) -> Callable[..., Result]:
    def run(*arguments: str | Path) -> Result:
        where = ["--gate", gate.grpc, "--tokens", str(gate.tokens)]
        return CliRunner().invoke(app, ["policy", *map(str, arguments), *where])

    return run


def said(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_get_edit_set_and_history(policy: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    first = policy("get")
    file.write_text(first.stdout)
    edited = json.loads(first.stdout)
    edited["budget_ms"] = 300
    file.write_text(json.dumps(edited))

    change = [{"field": "budget_ms", "before": 250, "after": 300}]
    planned = said(policy("set", file, "--dry-run", "--json"))
    assert (planned["stored"], planned["changes"]) == (False, change)
    assert "budget_ms" in policy("set", file, "--dry-run").stdout

    stored = said(policy("set", file, "--reason", "slower machine", "--json"))
    assert (stored["before"], stored["version"], stored["changes"]) == (1, 2, change)
    got = said(policy("get", "--json"))
    assert (got["version"], got["reason"], got["policy"]["budget_ms"]) == (2, "slower machine", 300)
    assert said(policy("get", "--version", "1", "--json"))["policy"]["budget_ms"] == 250

    again = policy("set", file, "--reason", "twice", "--json")
    assert (again.exit_code, "version 2 is in force" in json.loads(again.stdout)["error"]) == (1, True)
    assert "version 3 is in force" in policy("set", file, "--reason", "twice", "--force").stdout

    versions = said(policy("history", "--json"))
    assert [entry["version"] for entry in versions] == [3, 2, 1]
    assert [entry["changes"] for entry in versions] == [[], change, None]
    assert versions[1]["reason"] == "slower machine"
    assert [entry["version"] for entry in said(policy("history", "--before", "2", "--json"))] == [1]
    assert "slower machine" in policy("history").stdout


def test_errors_name_what_is_wrong(policy: Callable[..., Result], tmp_path: Path) -> None:
    wrong, bare = tmp_path / "wrong.json", tmp_path / "bare.json"
    wrong.write_text('{"version": 1, "budget_ms": 1}')
    bare.write_text("{}")
    for arguments, named in (
        (("set", wrong, "--reason", "x", "--force"), "policy.budget_ms"),
        (("set", bare, "--reason", "x"), "--expect"),
        (("set", wrong), "--reason"),
        (("set", tmp_path / "none", "--reason", "x"), "No such file"),
        (("get", "--version", "99"), "99"),
    ):
        result = policy(*arguments)
        assert (result.exit_code, named in result.output) == (1, True), result.output


def test_validate_needs_no_gate(tmp_path: Path) -> None:
    good, wrong = tmp_path / "good.json", tmp_path / "wrong.json"
    good.write_text('{"budget_ms": 300}')
    wrong.write_text('{"budget_ms": 1}')
    run = CliRunner()
    assert said(run.invoke(app, ["policy", "validate", str(good), "--json"]))["policy"]["budget_ms"] == 300
    assert "ok" in run.invoke(app, ["policy", "validate", str(good)]).stdout
    result = run.invoke(app, ["policy", "validate", str(wrong)])
    assert (result.exit_code, "policy.budget_ms" in result.output) == (1, True)


def test_explain_says_what_looks_cost_and_find(policy: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"looks": {"low_ms": 3000, "high_ms": 0}}')
    low, _, high = said(policy("explain", file, "--json"))["looks"]
    in_force, _, _ = said(policy("explain", "--json"))["looks"]
    assert (low["risk"], high["risk"], high["every_s"]) == ("low", "high", None)
    assert low["every_s"] < in_force["every_s"]
    assert low["cost"] > in_force["cost"]
    assert low["found"][0]["p99_s"] < in_force["found"][0]["p99_s"]
    shown = policy("explain", file)
    assert shown.exit_code == 0
    assert "no looks" in shown.stdout


def test_explain_says_what_the_gate_acts_on(policy: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"apps": {"live": {"mode": "enforce"}}, "tenants": {"acme": {"mode": "shadow"}}}')
    modes = said(policy("explain", file, "--json"))["modes"]
    assert [(one["app"], one["tenant"], one["mode"]) for one in modes] == [
        (None, None, "known_footage"),
        (None, "acme", "shadow"),
        ("live", None, "enforce"),
        ("live", "acme", "shadow"),
    ]
    assert (modes[0]["acts_on_known_footage"], modes[0]["acts_on_detector"]) == (True, False)
    shown = policy("explain", file).stdout
    assert "mode known_footage: the gate acts on known footage; what the detector says is only" in shown
    assert "app live: mode enforce" in shown


def test_explain_shows_the_effect_of_overrides(policy: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    gunfire = {"alone": "flag", "flag_at": 0.7, "urgent": True}
    games = {"games": True, "categories": {"gunfire": {"enabled": False}}}
    written = {
        "categories": {"fight": {}, "gunfire": gunfire},
        "apps": {"arena-*": games, "live": {}},
        "tenants": {"acme": {"categories": {"fight": {"cut_at": 0.99}}}},
    }
    file.write_text(json.dumps(written))
    arena, live, acme = said(policy("explain", file, "--json"))["overrides"]
    assert (arena["app"], arena["tenant"], live["changes"]) == ("arena-*", None, [])
    assert {one["field"]: one["after"] for one in arena["changes"]} == {
        "games": True,
        "categories.gunfire.enabled": False,
    }
    assert "gunfire-and-firearm" in arena["rules_off"]
    assert live["rules_off"] == acme["rules_off"] == []
    assert acme["changes"] == [{"field": "categories.fight.cut_at", "before": 0.85, "after": 0.99}]
    shown = policy("explain", file).stdout
    assert "category gunfire: flag from 0.7, never cuts alone, urgent" in shown
    assert "app arena-*: rule gunfire-and-firearm does not act" in shown
    assert "tenant acme: categories.fight.cut_at 0.85 -> 0.99" in shown


def test_a_first_start_cuts_nobody_for_what_the_detector_says(tmp_path: Path) -> None:
    with GateProcess(tmp_path, config="[workers]\ncount = 1\n", policy={}) as gate:
        where = ["--gate", gate.grpc, "--tokens", str(gate.tokens)]
        assert said(CliRunner().invoke(app, ["policy", "get", *where]))["mode"] == "known_footage"
        assert gate.ready["mode"] == "known_footage"
