"""The contract of every kind's section of the settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from docgen.settings import describe_section
from edge.cli.app import app
from edge.config import load_settings
from edge.errors import ConfigError
from edge.servers.kind import AnyKind
from tests.servers.sections import SECRET, section_of


def test_it_is_usable_with_nothing_but_its_secrets(kind: AnyKind) -> None:
    [(found, section)] = load_settings(None, {kind.section: section_of(kind)}).servers()
    assert found == kind
    assert isinstance(section, kind.settings)


@pytest.mark.parametrize(
    ("said", "warned"),
    [
        ({}, True),
        ({"upstream_url": "http://platform/auth", "upstream_failure": "allow"}, True),
        ({"upstream_url": "http://platform/auth"}, False),
        ({"trust_broadcaster": True}, False),
        ({"trust_broadcaster": False}, False),
    ],
)
def test_names_that_nothing_checks_are_warned_of_until_somebody_says_so(
    kind: AnyKind, said: dict[str, object], warned: bool
) -> None:
    section = {name: value for name, value in section_of(kind).items() if name != "trust_broadcaster"}
    warnings = load_settings(None, {kind.section: {**section, **said}}).warnings()
    assert len(warnings) == warned
    assert all(warning.startswith(f"{kind.section}: ") for warning in warnings)


def test_no_secret_is_shown(kind: AnyKind) -> None:
    settings = load_settings(None, {kind.section: section_of(kind)})
    assert SECRET not in repr(settings)
    assert SECRET not in json.dumps(settings.model_dump(mode="json"))
    for name, field in kind.settings.model_fields.items():
        if any(word in name for word in ("secret", "password", "token", "key")):
            assert field.annotation is SecretStr, name


def test_every_setting_says_what_it_is_for(kind: AnyKind) -> None:
    assert kind.settings.__doc__
    page = describe_section(kind.section)
    for name, field in kind.settings.model_fields.items():
        assert field.description, name
        assert f"| `{name}` |" in page


def test_an_api_that_is_not_http_is_refused_by_name(kind: AnyKind) -> None:
    urls = [name for name in kind.settings.model_fields if name.endswith("_url") and name != "pull_url"]
    assert len(urls) >= 2  # The platform's hook, and the server's API.
    for name in urls:
        with pytest.raises(ConfigError, match=rf"{kind.section}.*{name}"):
            load_settings(None, {kind.section: {**section_of(kind), name: "file:///etc/passwd"}})


def test_the_environment_goes_before_the_file(
    kind: AnyKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edge.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in section_of(kind).items()]
    path.write_text("\n".join([f"[{kind.section}]", *lines, 'pull_url = "rtmp://file/live"']))
    [(_, section)] = load_settings(path).servers()
    assert section.pull_url == "rtmp://file/live"
    monkeypatch.setenv(f"EDGE_{kind.section.upper()}__PULL_URL", "rtmp://environment/live")
    [(_, section)] = load_settings(path).servers()
    assert section.pull_url == "rtmp://environment/live"


def test_an_unknown_key_is_refused_by_name(kind: AnyKind) -> None:
    with pytest.raises(ConfigError, match=rf"{kind.section}\.api_ulr"):
        load_settings(None, {kind.section: {**section_of(kind), "api_ulr": "http://127.0.0.1"}})


@pytest.fixture
def check_config() -> Callable[..., str]:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["check-config", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_the_example_of_check_config_has_it(
    kind: AnyKind, tmp_path: Path, check_config: Callable[..., str]
) -> None:
    example = check_config("--example")
    commented = example[example.index(f"# [{kind.section}]") :].partition("\n\n")[0]
    path = tmp_path / "edge.toml"
    path.write_text("\n".join(line.removeprefix("# ") for line in commented.splitlines()))
    values = json.loads(check_config(str(path), "--json"))["values"]
    assert values[kind.section] is not None
