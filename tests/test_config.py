"""Settings are safe by default, and errors name the file and the field."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.config import HttpSection, load_settings
from edge.errors import ConfigError
from edge.section import is_local


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "localhost:1", "unix:/tmp/x"])
def test_addresses_of_this_machine_need_nothing(listen: str) -> None:
    assert is_local(listen)
    assert load_settings(None, {"grpc": {"listen": listen}}).grpc.listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1"])
def test_other_addresses_need_tls_or_insecure(listen: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tls_cert"):
        load_settings(None, {"grpc": {"listen": listen}})
    load_settings(None, {"grpc": {"listen": listen, "insecure": True}})
    pem = str(tmp_path / "x.pem")
    load_settings(None, {"grpc": {"listen": listen, "tls_cert": pem, "tls_key": pem}})


def test_a_trusted_proxy_is_an_address_or_a_network() -> None:
    assert HttpSection.model_validate({"trusted_proxies": ["10.0.0.0/8", "::1"]}).trusted_proxies
    with pytest.raises(ValidationError, match=r"trusted_proxies\n.*'proxy\.example' does not appear to be"):
        HttpSection.model_validate({"trusted_proxies": ["proxy.example"]})


@pytest.mark.parametrize(
    ("listen", "certificates", "wanted"),
    [
        ("127.0.0.1:1", False, False),
        ("unix:/run/gate", False, False),
        ("0.0.0.0:1", False, True),
        ("example.org:1", False, True),
        ("0.0.0.0:1", True, False),
    ],
)
def test_beyond_this_machine_callers_show_a_token_or_a_certificate(
    listen: str, certificates: bool, wanted: bool
) -> None:
    section = {"listen": listen, "tls_cert": "x.pem", "tls_key": "x.pem", "insecure": True}
    if certificates:
        section["tls_client_ca"] = "ca.pem"
    assert load_settings(None, {"grpc": section}).grpc.gate_wants_token == wanted
    http = {"listen": listen, "insecure": True}
    assert load_settings(None, {"http": http}).http.wants_token == listen.startswith(("0.", "example"))


def test_hooks_beyond_this_machine_need_a_secret() -> None:
    with pytest.raises(ConfigError, match="hook_secret"):
        load_settings(None, {"http": {"listen": "0.0.0.0:80"}})
    settings = load_settings(None, {"http": {"listen": "0.0.0.0:80", "hook_secret": "s3cret"}})
    assert "s3cret" not in repr(settings)


def test_command_line_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('log_level = "debug"\n[grpc]\nlisten = "127.0.0.1:1"\n', encoding="utf-8")
    assert load_settings(path).grpc.listen == "127.0.0.1:1"
    monkeypatch.setenv("EDGE_GRPC__LISTEN", "127.0.0.1:2")
    assert load_settings(path).grpc.listen == "127.0.0.1:2"
    settings = load_settings(path, {"grpc": {"listen": "127.0.0.1:3"}})
    assert (settings.grpc.listen, settings.log_level) == ("127.0.0.1:3", "debug")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[grpc]\nlistn = 1", "grpc.listn"),
        ("[limits]\nmax_streams = 0", "limits.max_streams"),
        ("[grpc", "edge.toml"),
        ('[grpc]\ntls_cert = "x"', "tls_cert and tls_key"),
        ('[nginx_rtmp]\ncontrol_url = "file:///etc/passwd"', "control_url"),
        ('[nginx_rtmp]\npull_url = "rtmp://127.0.0.1/{app}/{nam}"', "pull_url: {nam} is not filled in"),
        ("a = " + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
        ("a = " + "9" * 5_000, "4300"),
        ("\ufefflog_level = 'debug'", "byte order mark"),
    ],
)
def test_error_names_file_and_field(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"edge\.toml") as caught:
        load_settings(path)
    assert named in str(caught.value)


def test_a_broken_section_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_GRPC", "{bad")
    with pytest.raises(ConfigError, match=r"grpc.*in the environment is JSON: Expecting"):
        load_settings()


def test_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "absent.toml")
