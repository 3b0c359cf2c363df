"""Webhook settings that are refused, and the reasons given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli.app import app
from edge.webhook.events import TYPES
from edge.webhook.signing import key_of

SECRET = 'secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"\n'


def test_a_new_secret_is_one_and_events_are_listed() -> None:
    run = CliRunner()
    made = run.invoke(app, ["webhook", "secret"]).stdout.strip()
    assert len(key_of(made)) == 32
    assert json.loads(run.invoke(app, ["webhook", "secret", "--json"]).stdout)["secret"] != made
    assert json.loads(run.invoke(app, ["webhook", "events", "--json"]).stdout) == list(TYPES)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "webhook.url: is not set"),
        ('url = "http://example.org/"\n' + SECRET, "insecure"),
        ('url = "ftp://example.org/"\n' + SECRET, "http://"),
        ('url = "https://u:p@example.org/"\n' + SECRET, "password"),
        ('url = "https://example.org/"\n', "wants a secret"),
        ('url = "https://example.org/"\nsecret = "short"\n', "secret"),
        ('url = "https://example.org/"\nevents = ["all"]\n' + SECRET, "'all' is none of"),
        ('url = "https://127.0.0.1:1/"\nca = "none.pem"\n' + SECRET, "webhook.ca"),
    ],
)
def test_settings_that_cannot_be_used_are_named(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(f"[webhook]\n{text}")
    result = CliRunner().invoke(app, ["webhook", "test", "-c", str(path)])
    assert (result.exit_code, named in result.output.replace("\n", " ")) == (1, True), result.output
    assert "MfKQ9r8" not in result.output
