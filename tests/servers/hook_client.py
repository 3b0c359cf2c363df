"""An HTTP client of one server's hooks, beside a double of that server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx

from edge.servers.http_app import create_app
from edge.servers.server_double import ServerDouble
from edge.servers.settings import ServerSection

SECRET = "s3cr&t"
"""The secret that every hook must carry."""
PULL_URL = "rtmp://server/{path}"


def beside(section: ServerSection, **changes: Any) -> Any:
    """The section with ``PULL_URL`` and ``changes``."""
    return section.model_copy(update={"pull_url": PULL_URL, **changes})


@contextlib.asynccontextmanager
async def serving(hooks: Any, connector: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client that knows the secret. Hooks and connector are closed at the end."""
    transport = httpx.ASGITransport(create_app([hooks]))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gate", params={"secret": SECRET}
    ) as client:
        yield client
    await hooks.aclose()
    await connector.aclose()


@contextlib.asynccontextmanager
async def hooks_of(
    double: ServerDouble, gate: Any, hooks: Any, **changes: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """``hooks`` is the class. ``changes`` are for the double's section."""
    async with double.serving():
        connector: Any = double.connector()
        made = hooks(gate, connector, beside(double.section(), **changes), SECRET)
        async with serving(made, connector) as client:
            yield client
