"""A double of SRS: its client API, and its HTTP callbacks."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from edge.servers.server_double import SECRET, HookCall, ServerDouble, basic_credentials
from edge.servers.srs.connector import SrsConnector
from edge.servers.srs.settings import SERVER, SrsSection


class SrsDouble(ServerDouble):
    kind = SERVER
    ids = ("9308h583", "b6s9j5b9")
    unknown = "0000zzzz"
    name_field = "stream"
    allows = PlainTextResponse("0")
    denies = JSONResponse({"code": 7, "msg": "no such account"})
    no_such = JSONResponse({"code": 2049})

    def section(self, secret: str = SECRET) -> SrsSection:
        return SrsSection(
            trust_broadcaster=True, api_url=self.url, api_user="gate", api_password=SecretStr(secret)
        )

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> SrsConnector:
        return SrsConnector(self.section(secret), timeout_s=timeout_s)

    def publish_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return _call("on_publish", connection, app, name, user)

    def ended_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return _call("on_unpublish", connection, app, name, user)

    def answer(self, method: str, path: str, request: Request) -> Response:
        if basic_credentials(request) != f"gate:{SECRET}":
            return PlainTextResponse("", 401, {"WWW-Authenticate": 'Basic realm="SRS"'})
        collection, ident = path.removeprefix("/api/v1/").split("/")
        if collection == "streams":
            app, _, name = ident.removeprefix("vid-").partition("-")
            cid = self.by_name(app, name)
            publish: dict[str, Any] = {"active": cid is not None, "cid": cid or "left"}
            return _ok({"stream": {"id": ident, "app": app, "name": name, "publish": publish}})
        if ident not in self.sessions:
            return JSONResponse({"code": 2049})
        if method == "DELETE":
            del self.sessions[ident]
            return _ok({})
        stream = "vid-" + "-".join(self.sessions[ident])
        return _ok({"client": {"id": ident, "stream": stream, "type": "fmle-publish", "publish": True}})


def _call(action: str, connection: str, app: str, name: str, user: str) -> HookCall:
    fields = {"action": action, "client_id": connection, "ip": "192.0.2.7", "app": app, "stream": name}
    return HookCall.of_json(f"/hooks/{SERVER}", {**fields, "param": f"?user={user}&key=sek"})


def _ok(body: dict[str, Any]) -> Response:
    return JSONResponse({"code": 0, "server": "vid-5e3yks6", **body})


DOUBLE = SrsDouble
