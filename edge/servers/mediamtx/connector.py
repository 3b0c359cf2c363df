"""Cutting at MediaMTX: ``POST /v3/{kind}/kick/{id}``, looked up in the same API.

The connection is ``PROTOCOL/UUID``, because each protocol has an API of its own. RTSP is not among them:
its hook names a connection, and its API kicks sessions. Source: mediamtx ``api/openapi.yaml``,
``internal/servers/rtsp``. Not run against a real MediaMTX here.
"""

from __future__ import annotations

import re

from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.json_api import ApiAnswer, ApiUserConnector
from edge.servers.mediamtx.settings import SERVER

COLLECTIONS = {
    # Whether the hook tells the encrypted variants apart depends on the version: both are asked.
    "rtmp": ("rtmpconns", "rtmpsconns"),
    "rtmps": ("rtmpsconns", "rtmpconns"),
    "srt": ("srtconns",),
    "webrtc": ("webrtcsessions",),
}
"""Protocol of the hook to the collections in which the API may list the connection."""
CONNECTION = re.compile(r"(rtmps?|srt|webrtc)/([0-9A-Fa-f-]{1,64})")


class MediaMtxConnector(ApiUserConnector):
    """One MediaMTX with ``api: yes``. Its hook lets ``api_user`` into the API."""

    kind = SERVER

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        """Kick the connection. ``closed=0``: no collection of its protocol has it."""
        parts = CONNECTION.fullmatch(target.connection)
        if parts is None:
            return CutAttempt(False, None, "the connection is not PROTOCOL/UUID")
        said = False
        for collection in COLLECTIONS[parts[1]]:
            answer = await self._call("POST", f"/{collection}/kick/{parts[2]}")
            if answer.status == 200 and answer.get("status") == "ok":
                return CutAttempt(True, 1)
            if answer.status == 200 and answer.empty:  # versions before the one that says "ok"
                return CutAttempt(True, None)
            if answer.status != 404:
                return CutAttempt(False, None, answer.problem or f"kick answered {answer.status}")
            said = said or _absent(answer)
        return CutAttempt(said, 0 if said else None, "no such connection")

    async def is_live(self, target: CutTarget) -> bool | None:
        """Whether the connection is open."""
        parts = CONNECTION.fullmatch(target.connection)
        if parts is None:
            return None
        said = False
        for collection in COLLECTIONS[parts[1]]:
            answer = await self._call("GET", f"/{collection}/get/{parts[2]}")
            if answer.status == 200 and answer.get("id") == parts[2]:
                return True
            if answer.status != 404:
                return None
            said = said or _absent(answer)
        return False if said else None

    async def publishes(self, target: CutTarget) -> bool | None:
        """Whether that very connection is the source of its path."""
        parts = CONNECTION.fullmatch(target.connection)
        if parts is None:
            return None
        path = f"{target.app}/{target.name}".removeprefix("/")
        answer = await self._call("GET", f"/paths/get/{path}")
        if _absent(answer):
            return False
        if answer.status != 200 or answer.get("name") != path:
            return None
        return bool(answer.get("source", "id") == parts[2])

    async def _call(self, method: str, path: str) -> ApiAnswer:
        return await self._api.call(method, f"/v3{path}")


def _absent(answer: ApiAnswer) -> bool:
    """Said by MediaMTX: "connection not found", "session not found", "path not found".

    A protocol that is switched off, and anything else at that port, answers 404 without its words.
    """
    error = answer.get("error")
    return answer.status == 404 and isinstance(error, str) and error.endswith("not found")
