"""``edge-gate check-config``: whether settings are usable, and their effect."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.cli.app import app
from edge.policy import Policy


def check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check-config", *arguments])


def test_defaults_and_examples_are_usable(tmp_path: Path) -> None:
    assert json.loads(check("--json").stdout)["values"]["grpc"]["listen"] == "127.0.0.1:50051"
    assert "grpc.listen = 127.0.0.1:50051" in check().stdout
    assert "containment on this machine: " in check().stdout
    settings, policy = tmp_path / "edge.toml", tmp_path / "policy.json"
    settings.write_text(check("--example").stdout)
    policy.write_text(check("--example", "--policy").stdout)
    assert check(str(settings)).exit_code == 0
    shown = json.loads(check(str(policy), "--policy", "--json").stdout)
    assert shown["values"] == Policy().model_dump(mode="json")
    assert json.loads(check("--example", "--json").stdout) == tomllib.loads(settings.read_text())
    assert json.loads(check("--example", "--policy", "--json").stdout) == shown["values"]


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("[grpc]\nlistn = 1\n", (), "grpc.listn"),
        ('[grpc]\nlisten = "0.0.0.0:1"\n', (), "tls_cert"),
        ('ledger_url = "postgresql://u:pw@h:x/db"\n', (), "ledger_url"),
        ('ledger_url = "postgresql://u:pw@[::1/db"\n', (), "ledger_url"),
        ('ledger_url = "oracle://u:pw@h/db"\n', (), "ledger_url"),
        ('first_policy = "/nonexistent/policy.json"\n', (), "/nonexistent/policy.json"),
        ('[grpc]\ntls_cert = "/nonexistent/a.pem"\ntls_key = "/nonexistent/b.pem"\n', (), "/nonexistent/"),
        ('{"budget_ms": 1}', ("--policy",), "policy.budget_ms"),
        ('{"categories": {"fight": {"cut_at": 0}}}', ("--policy",), "ordered"),
    ],
)
def test_wrong_files_are_refused_with_the_field(
    text: str, options: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    for extra in ((), ("--json",)):
        result = check(str(path), *options, *extra)
        assert result.exit_code == 1
        assert named in result.output
        assert "Value error" not in result.output


def test_a_missing_file_is_said() -> None:
    assert "No such file" in check("/nonexistent/edge.toml").output
    assert "PATH" in check("--policy").output


def test_what_a_policy_amounts_to_for_an_app(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"apps": {"kids-*": {"budget_ms": 100}}, "tenants": {"acme": {"mode": "shadow"}}}')
    shown = check(str(policy), "--policy", "--app", "kids-1", "--tenant", "acme", "--json")
    values = json.loads(shown.stdout)["values"]
    assert (values["budget_ms"], values["mode"], values["apps"]) == (100, "shadow", {})
    assert json.loads(check(str(policy), "--policy", "--json").stdout)["values"]["budget_ms"] == 250
    assert "--policy" in check("--app", "kids-1").output


def test_words_of_ones_own_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(f'messages_dir = "{tmp_path}"\n')
    for language, text in (("en", '{"appeal": "Write to us."}'), ("ar", '{"apeal": "x"}')):
        (tmp_path / f"{language}.json").write_text(text)
    result = CliRunner().invoke(app, ["check-config", str(path)])
    assert (result.exit_code, "'apeal' is none of" in result.output) == (1, True)
