"""``edge-gate block`` against a real gate."""

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
def block(gate: GateProcess) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        where = ["--gate", gate.grpc, "--tokens", str(gate.tokens)]
        return CliRunner().invoke(app, ["block", *arguments, *where])

    return run


def said(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_add_list_and_lift(block: Callable[..., Result]) -> None:
    added = said(block("add", "anna", "--reason", "spam", "--for", "2h", "--json"))
    assert (added["subject"], added["reason"], added["lifted_by"]) == ("anna", "spam", None)
    assert added["until_wall_ms"] - added["created_wall_ms"] == 2 * 3_600_000
    assert [entry["id"] for entry in said(block("list", "--json"))] == [added["id"]]
    assert "anna" in block("list").stdout
    lifted = said(block("lift", added["id"], "--reason", "mistake", "--json"))
    assert lifted["lift_reason"] == "mistake"
    assert said(block("list", "--json")) == []
    assert [entry["id"] for entry in said(block("list", "--ended", "--json"))] == [added["id"]]
    again = block("lift", added["id"], "--reason", "mistake", "--json")
    assert (again.exit_code, "already" in json.loads(again.stdout)["error"]) == (1, True)


def test_permanent_and_networks(block: Callable[..., Result]) -> None:
    added = said(
        block("add", "192.0.2.0/24", "--kind", "address", "--reason", "raid", "--for", "permanent", "--json")
    )
    assert added["until_wall_ms"] == 253_402_300_799_000
    assert "permanent" in block("list").stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("add", "x", "--reason", "y", "--for", "5x"), "--for"),
        (("add", "x", "--reason", "y", "--kind", "planet"), "subject_kind"),
        (("add", "x", "--reason", "y" * 600), "reason: 600 characters is over the limit of 512"),
        (("add", "x", "--reason", "y", "--for", "9" * 5_000 + "d"), "--for"),
        (("add", "a\udcff", "--reason", "y"), "'a\\udcff' is no UTF-8 text"),
        (("lift", "bl_none", "--reason", "\udcff"), "is no UTF-8 text"),
        (("lift", "bl_none", "--reason", "y"), "bl_none"),
    ],
)
def test_errors_name_what_is_wrong(
    arguments: tuple[str, ...], named: str, block: Callable[..., Result]
) -> None:
    result = block(*arguments)
    assert result.exit_code == 1
    assert named in result.output


def test_no_gate_and_no_tokens_are_clear(gate: GateProcess, tmp_path: Path) -> None:
    tokens = ["--tokens", str(gate.tokens)]
    away = CliRunner().invoke(app, ["block", "list", "--gate", f"unix:{tmp_path}/none.sock", *tokens])
    assert (away.exit_code, "no gate answers" in away.output) == (1, True)
    absent = CliRunner().invoke(app, ["block", "list", "--gate", gate.grpc, "--tokens", "/nonexistent"])
    assert (absent.exit_code, "--tokens" in absent.output) == (1, True)
    viewer = tmp_path / "viewer.tokens"
    viewer.write_text("viewer vera a-viewer-token-of-vera\n")
    viewer.chmod(0o600)
    weak = CliRunner().invoke(
        app, ["block", "add", "x", "--reason", "y", "--gate", gate.grpc, "--tokens", str(viewer)]
    )
    assert (weak.exit_code, "reviewer" in weak.output) == (1, True)


def test_a_gate_that_cannot_do_it_now_is_not_taken_for_one_that_is_away(
    gate: GateProcess, tmp_path: Path
) -> None:
    mine, theirs = tmp_path / "my.tokens", gate.tokens.read_text()
    mine.write_text(theirs)
    mine.chmod(0o600)
    gate.tokens.write_text("not a token file\n")
    try:
        result = CliRunner().invoke(app, ["block", "list", "--gate", gate.grpc, "--tokens", str(mine)])
    finally:
        gate.tokens.write_text(theirs)
    assert (result.exit_code, "token file" in result.output) == (1, True)
    assert "no gate answers" not in result.output
