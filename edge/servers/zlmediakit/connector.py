"""Cutting at ZLMediaKit: ``/index/api/kick_session``, looked up in its list of sessions.

Every answer is HTTP 200; what it means is in ``code``. Source: ZLMediaKit ``server/WebApi.cpp`` and the
wiki's list of APIs. Not run against a real ZLMediaKit here.
"""

from __future__ import annotations

import re

import httpx

from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.json_api import ApiAnswer, JsonApi
from edge.servers.zlmediakit.settings import SERVER, ZlMediaKitSection

SESSION = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NOT_FOUND = -500
"""``API::OtherFailed``, "can not find the target"."""


class ZlMediaKitConnector:
    """One virtual host of one ZLMediaKit."""

    kind = SERVER

    def __init__(
        self,
        settings: ZlMediaKitSection,
        *,
        timeout_s: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._api = JsonApi(settings.api_url, timeout_s=timeout_s, transport=transport)
        self._secret = settings.api_secret.get_secret_value()
        self._vhost = settings.vhost

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        """Kick the session. ``closed=0``: the server knows no such session."""
        if not SESSION.fullmatch(target.connection):
            return CutAttempt(False, None, "the connection is not a session id")
        answer = await self._call("kick_session", id=target.connection)
        code = _code(answer)
        if code == 0:
            return CutAttempt(True, 1)
        if code == _NOT_FOUND:
            return CutAttempt(True, 0, "no such session")
        return CutAttempt(False, None, answer.problem or f"kick_session: {answer.status}, code {code}")

    async def is_live(self, target: CutTarget) -> bool | None:
        """Whether the session is connected. The stream itself may outlive it (``continue_push_ms``)."""
        answer = await self._call("getAllSession")
        sessions = _list(answer)
        if sessions is None:
            return None
        return any(isinstance(one, dict) and one.get("id") == target.connection for one in sessions)

    async def publishes(self, target: CutTarget) -> bool | None:
        """Whether that very session is the origin of its stream."""
        answer = await self._call("getMediaList", vhost=self._vhost, app=target.app, stream=target.name)
        streams = _list(answer)
        if streams is None:
            return None
        origins = [ApiAnswer(200, one).get("originSock", "identifier") for one in streams]
        return target.connection in origins

    async def aclose(self) -> None:
        await self._api.aclose()

    async def _call(self, name: str, **params: str) -> ApiAnswer:
        return await self._api.call("GET", f"/index/api/{name}", params={"secret": self._secret, **params})


def _list(answer: ApiAnswer) -> list[object] | None:
    """``data`` of a good answer; where there is nothing to list it is left out."""
    if _code(answer) != 0:
        return None
    data = answer.get("data")
    return data if isinstance(data, list) else ([] if data is None else None)


def _code(answer: ApiAnswer) -> int | None:
    code = answer.get("code")
    usable = answer.status == 200 and isinstance(code, int) and not isinstance(code, bool)
    return code if usable else None
