"""A double of Node-Media-Server 4.4: its sessions API, and its notify hook."""

from __future__ import annotations

import base64
import json
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from edge.servers.node_media_server.connector import NodeMediaServerConnector, bearer_token
from edge.servers.node_media_server.settings import SERVER, NodeMediaServerSection
from edge.servers.server_double import SECRET, HookCall, ServerDouble


class NodeMediaServerDouble(ServerDouble):
    kind = SERVER
    ids = ("mb8xyz0abc12", "mb8xyz0def34")
    unknown = "mb8xyz0zzz99"
    asks_first = False
    name_field = "name"
    allows = Response(status_code=200)
    denies = PlainTextResponse("no such account", 401)
    no_such = JSONResponse({"success": False, "message": "Session not found"}, 404)

    def section(self, secret: str = SECRET) -> NodeMediaServerSection:
        return NodeMediaServerSection(trust_broadcaster=True, api_url=self.url, jwt_secret=SecretStr(secret))

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> NodeMediaServerConnector:
        return NodeMediaServerConnector(self.section(secret), timeout_s=timeout_s)

    def publish_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return _call("prePublish", connection, app, name, user)

    def ended_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return _call("donePublish", connection, app, name, user)

    def answer(self, method: str, path: str, request: Request) -> Response:
        # The real server checks the token's signature; here it is enough that its key decides.
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        iat = _issued(token)
        if bearer_token(SECRET, iat) != token:
            return JSONResponse({"success": False, "code": "UNAUTHORIZED"}, 401)
        parts = path.removeprefix("/api/v1/").split("/")
        if method == "DELETE":
            if self.sessions.pop(parts[1], None) is None:
                return JSONResponse({"success": False, "message": "Session not found"}, 404)
            return JSONResponse({"success": True, "data": {"id": parts[1]}})
        if parts == ["sessions"]:
            listed = [{"id": one, "isPublisher": True} for one in self.sessions]
            return JSONResponse({"success": True, "data": {"sessions": listed}})
        publisher = self.by_name(parts[1], parts[2])
        if publisher is None:
            return JSONResponse({"success": False, "message": "Stream not found"}, 404)
        data = {"status": "publishing", "publisher": {"id": publisher}}
        return JSONResponse({"success": True, "data": data})


def _call(action: str, connection: str, app: str, name: str, user: str) -> HookCall:
    fields: dict[str, Any] = {"action": action, "id": connection, "ip": "192.0.2.7:56592", "app": app}
    query = {"user": user, "key": "sek"}
    return HookCall.of_json(f"/hooks/{SERVER}", {**fields, "name": name, "query": query, "protocol": "rtmp"})


def _issued(token: str) -> int:
    claims = token.split(".")[1] if token.count(".") == 2 else ""
    return int(json.loads(base64.urlsafe_b64decode(claims + "==") or b"{}").get("iat", 0))


DOUBLE = NodeMediaServerDouble
