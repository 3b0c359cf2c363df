"""Fixtures of this room's tests: a gate, a server's state, and every kind of ingest server.

A test that takes ``kind`` or ``server`` runs once for each kind of the registry, and for a seventh kind.
That one is added as any contributor would add it: by a folder and a line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from importlib import import_module

import pytest

from edge.servers import registry
from edge.servers.doubles import ConnectorDouble, GatekeeperDouble
from edge.servers.kind import AnyKind
from edge.servers.server_double import ServerDouble

FOLDERS = (
    *registry.FOLDERS,
    "tests.servers.seventh_kind",
)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never came true")


@pytest.fixture
def gate() -> GatekeeperDouble:
    return GatekeeperDouble()


@pytest.fixture
def state() -> ConnectorDouble:
    return ConnectorDouble()


@pytest.fixture(params=FOLDERS, ids=lambda folder: str(folder.rpartition(".")[2]))
def folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "FOLDERS", FOLDERS)
    return str(request.param)


@pytest.fixture
def kind(folder: str) -> AnyKind:
    found: AnyKind = import_module(f"{folder}.kind").KIND
    return found


@pytest.fixture
async def server(folder: str) -> AsyncIterator[ServerDouble]:
    double: ServerDouble = import_module(f"{folder}.double").DOUBLE()
    async with double.serving():
        yield double
