"""Cutting at Node-Media-Server 4.4: ``DELETE /api/v1/sessions/{id}`` with a bearer token.

Source: node-media-server 4.4.3 ``src/api/handlers/{sessions,streams}.js``, ``src/session/*.js``. The
API exists only where ``auth.jwt`` is configured.
"""

from __future__ import annotations

import re
import time
from typing import Any

import httpx

from edge.errors import ConfigError
from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.json_api import ApiAnswer, JsonApi
from edge.servers.node_media_server.settings import SERVER, NodeMediaServerSection

SESSION = re.compile(r"[0-9a-z]{1,64}")
_PATH = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_S = 60


def bearer_token(secret: str, wall_s: int) -> str:
    """A JSON Web Token (RFC 7519), HS256, for one minute from ``wall_s``.

    Raises ConfigError for a secret that no server can share, as an empty one or a public key.
    """
    import jwt  # 0.2 s, which a gate of other servers need not spend

    claims = {"sub": "edge-gate", "role": "admin", "iat": wall_s, "exp": wall_s + _TOKEN_S}
    try:
        return jwt.encode(claims, secret, algorithm="HS256")
    except jwt.InvalidKeyError as error:
        raise ConfigError(f"node_media_server.jwt_secret: {error}") from None


class NodeMediaServerConnector:
    """One Node-Media-Server. Raises ConfigError for a ``jwt_secret`` that no server can share."""

    kind = SERVER

    def __init__(
        self,
        settings: NodeMediaServerSection,
        *,
        timeout_s: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._api = JsonApi(settings.api_url, timeout_s=timeout_s, transport=transport)
        self._jwt_secret = settings.jwt_secret.get_secret_value()
        bearer_token(self._jwt_secret, 0)

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        """Close the session. ``closed=0``: the server knows no such session."""
        if not SESSION.fullmatch(target.connection):
            return CutAttempt(False, None, "the connection is not a session id")
        answer = await self._call("DELETE", f"/sessions/{target.connection}")
        if answer.status == 200 and answer.get("success") is True:
            return CutAttempt(True, 1)
        if answer.status == 404 and answer.get("success") is False:
            return CutAttempt(True, 0, "no such session")
        return CutAttempt(False, None, answer.problem or f"sessions answered {answer.status}")

    async def is_live(self, target: CutTarget) -> bool | None:
        """Whether the connection is open at all.

        A session that was refused is not the publisher of its stream, but what it sends may still
        reach the viewers until its socket is closed.
        """
        answer = await self._call("GET", "/sessions")
        sessions = answer.get("data", "sessions")
        if answer.status != 200 or not isinstance(sessions, list):
            return None
        return any(isinstance(one, dict) and one.get("id") == target.connection for one in sessions)

    async def publishes(self, target: CutTarget) -> bool | None:
        """Whether that very session is the publisher of its stream."""
        if not (_PATH.fullmatch(target.app) and _PATH.fullmatch(target.name)):
            return False  # the server lets no such name publish
        answer = await self._call("GET", f"/streams/{target.app}/{target.name}")
        if answer.status == 404 and answer.get("success") is False:
            return False
        status: Any = answer.get("data", "status")
        if answer.status != 200 or not isinstance(status, str):
            return None
        # For half a minute after its end the publisher stays there as "reconnecting".
        return status == "publishing" and answer.get("data", "publisher", "id") == target.connection

    async def aclose(self) -> None:
        await self._api.aclose()

    async def _call(self, method: str, path: str) -> ApiAnswer:
        token = bearer_token(self._jwt_secret, int(time.time()))
        return await self._api.call(method, f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
