"""From settings to connectors and hooks."""

from __future__ import annotations

from typing import Any

import pytest

from edge.config import load_settings
from edge.errors import ConfigError
from edge.servers.installed import IngestServers
from tests.servers.conftest import RecordingGate

SECTIONS: dict[str, dict[str, Any]] = {
    "nginx_rtmp": {},
    "node_media_server": {"jwt_secret": "hunter2"},
    "srs": {"api_user": "gate", "api_password": "hunter2"},
    "mediamtx": {"api_user": "gate", "api_password": "hunter2"},
    "ovenmediaengine": {"access_token": "hunter2", "secret_key": "hunter2"},
    "zlmediakit": {"api_secret": "hunter2"},
}


def test_nothing_is_there_unless_it_is_configured(gate: RecordingGate) -> None:
    servers = IngestServers(load_settings())
    assert servers.connectors() == {}
    assert servers.hooks(gate) == []


@pytest.mark.parametrize("section", SECTIONS)
async def test_each_server_alone(gate: RecordingGate, section: str) -> None:
    servers = IngestServers(load_settings(None, {section: SECTIONS[section]}))
    kind = section.replace("_", "-")
    assert set(servers.connectors()) == {kind}
    paths = [route.path for hooks in servers.hooks(gate) for route in hooks.routes()]
    assert all(path.startswith(f"/hooks/{kind}") for path in paths)
    assert bool(paths) == (section != "nginx_rtmp")


async def test_all_of_them_together(gate: RecordingGate) -> None:
    settings = load_settings(None, SECTIONS)
    assert "hunter2" not in repr(settings)
    servers = IngestServers(settings)
    assert set(servers.connectors()) == {section.replace("_", "-") for section in SECTIONS}
    assert len(servers.hooks(gate)) == len(SECTIONS) - 1


@pytest.mark.parametrize("section", [name for name in SECTIONS if name != "nginx_rtmp"])
def test_an_api_that_is_not_http_is_refused_by_name(section: str) -> None:
    with pytest.raises(ConfigError, match=f"{section}.*api_url"):
        load_settings(None, {section: {**SECTIONS[section], "api_url": "file:///etc/passwd"}})
