"""From settings to connectors and hooks."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from edge.config import load_settings
from edge.servers import registry
from edge.servers.doubles import GatekeeperDouble
from edge.servers.installed import IngestServers
from edge.servers.kind import AnyKind
from tests.servers.conftest import FOLDERS
from tests.servers.sections import section_of


def test_nothing_is_there_unless_it_is_configured(gate: GatekeeperDouble) -> None:
    servers = IngestServers(load_settings().servers())
    assert servers.connectors() == {}
    assert servers.hooks(gate) == []


async def test_each_server_alone(gate: GatekeeperDouble, kind: AnyKind) -> None:
    servers = IngestServers(load_settings(None, {kind.section: section_of(kind)}).servers())
    assert set(servers.connectors()) == {kind.name}
    [hooks] = servers.hooks(gate)
    assert hooks.server == kind.name
    assert hooks.routes()
    assert all(route.path.startswith(f"/hooks/{kind.name}") for route in hooks.routes())


async def test_all_of_them_together(gate: GatekeeperDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "FOLDERS", FOLDERS)
    names = {kind.name for kind in registry.kinds()}
    assert len(names) == 7
    settings = load_settings(None, {kind.section: section_of(kind) for kind in registry.kinds()})
    servers = IngestServers(settings.servers())
    assert set(servers.connectors()) == names
    assert {hooks.server for hooks in servers.hooks(gate)} == names


async def test_all_connections_are_closed_and_an_error_of_one_costs_no_other(
    gate: GatekeeperDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client of each server and of each platform, once the gate has stopped."""
    opened = list[httpx.AsyncClient]()
    real = httpx.AsyncClient.__init__

    def opening(client: httpx.AsyncClient, **options: Any) -> None:
        opened.append(client)
        real(client, **options)

    monkeypatch.setattr(httpx.AsyncClient, "__init__", opening)
    monkeypatch.setattr(registry, "FOLDERS", FOLDERS)
    sections = {kind.section: section_of(kind) for kind in registry.kinds()}
    for section in sections.values():
        section["upstream_url"] = "http://127.0.0.1:9/hook"
    servers = IngestServers(load_settings(None, sections).servers())
    hooks = servers.hooks(gate)

    async def broken() -> None:
        raise OSError("broken")

    monkeypatch.setattr(hooks[0], "aclose", broken)
    with capture_logs() as said:
        await servers.aclose()
    assert [line["event"] for line in said] == ["not closed"]
    left = [client for client in opened if not client.is_closed]
    assert len(opened) >= 2 * 7
    assert len(left) == 1, "the platform's, of the one that raised"
