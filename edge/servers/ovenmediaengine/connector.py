"""Cutting at OvenMediaEngine: ``DELETE /v1/vhosts/{v}/apps/{a}/streams/{s}``.

The API knows streams, not connections. It names the peer of a stream (``input.sourceUrl``), so the connection
here is that peer, ``ADDRESS:PORT``. A stream of the same name by another peer is left alone.
Source: OvenMediaEngine ``src/projects/modules/json_serdes/stream.cpp``, ``docs/rest-api``. Not run
against a real OvenMediaEngine here.
"""

from __future__ import annotations

import base64
import re

import httpx

from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.json_api import ApiAnswer, JsonApi
from edge.servers.ovenmediaengine.settings import SERVER, OvenMediaEngineSection

_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
_DOTS = frozenset({".", ".."})


class OvenMediaEngineConnector:
    """One virtual host of one OvenMediaEngine."""

    kind = SERVER

    def __init__(
        self,
        settings: OvenMediaEngineSection,
        *,
        timeout_s: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._api = JsonApi(settings.api_url, timeout_s=timeout_s, transport=transport)
        self._vhost = settings.vhost
        # Not httpx.BasicAuth: the server compares the whole token, which need not have a colon.
        token = base64.b64encode(settings.access_token.get_secret_value().encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        """End the stream if its peer is the target. ``closed=0``: another is, or there is no stream."""
        path = self._path(target)
        if path is None or not target.connection:
            return CutAttempt(False, None, "app, name and connection are all needed")
        stream = await self._call("GET", path)
        if _absent(stream) or _peer(stream) not in {None, target.connection}:
            return CutAttempt(True, 0, "no such stream by that peer")
        if stream.status != 200:
            return CutAttempt(False, None, stream.problem or f"streams answered {stream.status}")
        answer = await self._call("DELETE", path)
        if answer.status == 200 and answer.get("statusCode") == 200:
            return CutAttempt(True, 1)
        if _absent(answer):
            return CutAttempt(True, 0, "no such stream")
        return CutAttempt(False, None, answer.problem or f"streams answered {answer.status}")

    async def is_live(self, target: CutTarget) -> bool | None:
        """Whether the stream is there and its peer is the target.

        A stream whose peer the server does not name (some providers, old versions) is taken for the
        target's as long as it is there.
        """
        path = self._path(target)
        if path is None:
            return None
        answer = await self._call("GET", path)
        if _absent(answer):
            return False
        if answer.status != 200 or not isinstance(answer.get("response", "input"), dict):
            return None
        return _peer(answer) in {None, target.connection}

    async def publishes(self, target: CutTarget) -> bool | None:
        """As ``is_live``: the API lists a stream only while it is published."""
        return await self.is_live(target)

    async def aclose(self) -> None:
        await self._api.aclose()

    def _path(self, target: CutTarget) -> str | None:
        for name in (target.app, target.name):
            if not _PLAIN.fullmatch(name) or name in _DOTS:
                return None
        return f"/vhosts/{self._vhost}/apps/{target.app}/streams/{target.name}"

    async def _call(self, method: str, path: str) -> ApiAnswer:
        return await self._api.call(method, f"/v1{path}", headers=self._headers)


def _peer(answer: ApiAnswer) -> str | None:
    """``ADDRESS:PORT`` of ``tcp://ADDRESS:PORT``; None where the server does not say."""
    url = answer.get("response", "input", "sourceUrl")
    if not isinstance(url, str) or "://" not in url:
        return None
    return url.partition("://")[2].partition("/")[0].replace("[", "").replace("]", "") or None


def _absent(answer: ApiAnswer) -> bool:
    return answer.status == 404 and answer.get("statusCode") == 404
