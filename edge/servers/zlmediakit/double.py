"""A double of ZLMediaKit: its session API, and its webhooks."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge.servers.server_double import SECRET, HookCall, ServerDouble
from edge.servers.zlmediakit.connector import ZlMediaKitConnector
from edge.servers.zlmediakit.hooks import ON_FLOW_REPORT, ON_PUBLISH
from edge.servers.zlmediakit.settings import SERVER, ZlMediaKitSection


class ZlMediaKitDouble(ServerDouble):
    kind = SERVER
    ids = ("140437-57", "140438-58")
    unknown = "1-1"
    name_field = "stream"
    allows = JSONResponse({"code": 0, "enable_mp4": True})
    denies = JSONResponse({"code": 7, "msg": "no such account"})
    no_such = JSONResponse({"code": -500, "msg": "can not find the target"})

    def section(self, secret: str = SECRET) -> ZlMediaKitSection:
        return ZlMediaKitSection(trust_broadcaster=True, api_url=self.url, api_secret=SecretStr(secret))

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> ZlMediaKitConnector:
        return ZlMediaKitConnector(self.section(secret), timeout_s=timeout_s)

    def publish_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return HookCall.of_json(ON_PUBLISH, _fields(connection, app, name, user))

    def ended_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return HookCall.of_json(
            ON_FLOW_REPORT, {**_fields(connection, app, name, user), "player": False, "duration": 6}
        )

    def answer(self, method: str, path: str, request: Request) -> Response:
        query = request.query_params
        if query.get("secret") != SECRET:
            return JSONResponse({"code": -100, "msg": "Incorrect secret"})
        match path.removeprefix("/index/api/"):
            case "kick_session":
                if self.sessions.pop(query["id"], None) is None:
                    return JSONResponse({"code": -500, "msg": "can not find the target"})
                return JSONResponse({"code": 0, "msg": "success"})
            case "getAllSession":
                return _list([{"id": one, "peer_ip": "192.0.2.1"} for one in self.sessions])
            case "getMediaList":
                origin = self.by_name(query["app"], query["stream"])
                sock = {"originSock": {"identifier": origin}, "vhost": query["vhost"]}
                return _list(
                    [] if origin is None else [{"schema": "rtsp", **sock}, {"schema": "rtmp", **sock}]
                )
        return JSONResponse({"code": -404, "msg": "not found"}, 404)


def _fields(connection: str, app: str, name: str, user: str) -> dict[str, Any]:
    fields = {"id": connection, "ip": "192.0.2.7", "app": app, "stream": name, "schema": "rtmp"}
    return {**fields, "originTypeStr": "rtmp_push", "params": f"user={user}&key=sek"}


def _list(data: list[dict[str, Any]]) -> Response:
    return JSONResponse({"code": 0, "data": data} if data else {"code": 0})


DOUBLE = ZlMediaKitDouble
