"""From settings to connectors and hooks."""

from __future__ import annotations

import pytest

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
