"""One hook app over HTTP beside a double of its server's API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from edge.servers.hook_http import ServerHooks, ServerHookSettings
from edge.servers.http_app import create_app
from edge.servers.nginx_rtmp.hook_settings import HookSettings
from tests.servers.conftest import RecordingGate
from tests.servers.doubles import Double

SECRET = "s3cr&t"
SETTINGS = ServerHookSettings("rtmp://server/{path}", secret=SECRET)


@contextlib.asynccontextmanager
async def beside(
    double: Double, gate: RecordingGate, make: Callable[[Any], ServerHooks]
) -> AsyncIterator[httpx.AsyncClient]:
    """``make`` gets the connector of the double, and makes the hooks."""
    async with double.serving():
        connector: Any = double.connector()
        hooks: Any = make(connector)
        transport = httpx.ASGITransport(create_app(gate, HookSettings(enabled=False), [hooks]))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gate", params={"secret": SECRET}
        ) as client:
            yield client
        await hooks.aclose()
        await connector.aclose()
