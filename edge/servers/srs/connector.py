"""Cutting at SRS: ``DELETE /api/v1/clients/{client_id}``, looked up in the same API.

Source: srs ``trunk/src/app/srs_app_http_api.cpp``, ``srs_app_statistic.cpp``; ids are strings since
SRS 4. Not run against a real SRS here.
"""

from __future__ import annotations

import re

from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.json_api import ApiAnswer, ApiUserConnector
from edge.servers.srs.settings import SERVER

CLIENT = re.compile(r"[A-Za-z0-9-]{1,64}")
_NOT_FOUND = frozenset({2048, 2049})
"""ERROR_RTMP_STREAM_NOT_FOUND, ERROR_RTMPCLIENT_NOT_FOUND."""


class SrsConnector(ApiUserConnector):
    """One SRS. It asks for ``api_user`` since 5.0.152, where ``http_api { auth }`` is on."""

    kind = SERVER

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        """Kick the client. ``closed=0``: the server knows no such client."""
        if not CLIENT.fullmatch(target.connection):
            return CutAttempt(False, None, "the connection is not a client id")
        answer = await self._call("DELETE", f"/clients/{target.connection}")
        code = _code(answer)
        if code == 0:
            return CutAttempt(True, 1)
        if code in _NOT_FOUND:
            return CutAttempt(True, 0, "no such client")
        return CutAttempt(False, None, answer.problem or f"clients answered {answer.status}, code {code}")

    async def is_live(self, target: CutTarget) -> bool | None:
        """Whether the client is connected."""
        answer = await self._client(target)
        code = _code(answer)
        if code in _NOT_FOUND:
            return False
        return True if code == 0 and answer.get("client", "id") == target.connection else None

    async def publishes(self, target: CutTarget) -> bool | None:
        """Whether that very client is the publisher of its stream.

        A client is listed before its hook is answered, and a second one of a running name as well.
        """
        client = await self._client(target)
        if _code(client) in _NOT_FOUND:
            return False
        stream = client.get("client", "stream")
        if _code(client) != 0 or not (isinstance(stream, str) and CLIENT.fullmatch(stream)):
            return None
        answer = await self._call("GET", f"/streams/{stream}")
        if _code(answer) in _NOT_FOUND:
            return False
        active = answer.get("stream", "publish", "active")
        if _code(answer) != 0 or not isinstance(active, bool):
            return None
        named = (answer.get("stream", "app"), answer.get("stream", "name")) == (target.app, target.name)
        return active and named and answer.get("stream", "publish", "cid") == target.connection

    async def _client(self, target: CutTarget) -> ApiAnswer:
        if not CLIENT.fullmatch(target.connection):
            return ApiAnswer(0, problem="the connection is not a client id")
        return await self._call("GET", f"/clients/{target.connection}")

    async def _call(self, method: str, path: str) -> ApiAnswer:
        return await self._api.call(method, f"/api/v1{path}")


def _code(answer: ApiAnswer) -> int | None:
    """SRS's own code: it answers 200 to almost anything. None: this is no answer of SRS."""
    code = answer.get("code")
    usable = answer.status in {200, 404} and isinstance(code, int) and not isinstance(code, bool)
    return code if usable else None
