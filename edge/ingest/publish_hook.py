"""The platform's own hook of the reference ingest: it says who may publish, before the gate is asked.

The call is a form like that of nginx-rtmp's ``on_publish`` (``call``, ``app``, ``name``, ``addr`` and the
arguments of the URL), so a platform that has one for nginx needs no other.
"""

from __future__ import annotations

import asyncio

import httpx

from edge.errors import InvalidInput
from edge.ingest.rtmp import PublishRequest


class PublishHook:
    """One endpoint over HTTP. Nobody publishes while it does not answer."""

    def __init__(self, url: str, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False, transport=transport)

    async def check_publish(self, publish: PublishRequest) -> None:
        """Raises InvalidInput unless the platform answers 2xx in time."""
        form = {
            "call": "publish",
            "app": publish.app,
            "name": publish.name,
            "addr": publish.address,
            "user": "" if publish.broadcaster == f"{publish.app}/{publish.name}" else publish.broadcaster,
            "key": publish.stream_key,
            "token": publish.token,
        }
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, data=form) as answer,
            ):
                status = answer.status_code  # Whatever else it says is left unread.
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            problem = f"the platform does not answer: {type(error).__name__}"
            raise InvalidInput("upstream_url", problem) from None
        if not 200 <= status < 300:
            raise InvalidInput("publish", f"the platform refuses it ({status})")

    async def aclose(self) -> None:
        await self._client.aclose()
