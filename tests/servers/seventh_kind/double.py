"""A server of the seventh kind."""

from __future__ import annotations

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from edge.servers.server_double import SECRET, HookCall, ServerDouble
from tests.servers.seventh_kind.connector import SeventhKindConnector
from tests.servers.seventh_kind.settings import SERVER, SeventhKindSection


class SeventhKindDouble(ServerDouble):
    kind = SERVER
    ids = ("p-1", "p-2")
    unknown = "p-99"
    name_field = "name"
    allows = Response(status_code=200)
    denies = PlainTextResponse("no such account", 403)
    no_such = JSONResponse({"error": "no such publisher"}, 404)

    def section(self, secret: str = SECRET) -> SeventhKindSection:
        return SeventhKindSection(trust_broadcaster=True, api_url=self.url, api_token=SecretStr(secret))

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> SeventhKindConnector:
        return SeventhKindConnector(self.section(secret), timeout_s=timeout_s)

    def publish_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return _call("start", connection, app, name, user)

    def ended_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return _call("stop", connection, app, name, user)

    def answer(self, method: str, path: str, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return JSONResponse({"error": "unauthorised"}, 401)
        ident = path.removeprefix("/publishers/")
        if ident not in self.sessions:
            return JSONResponse({"error": "no such publisher"}, 404)
        app, name = self.sessions[ident]
        if method == "DELETE":
            del self.sessions[ident]
            return JSONResponse({"closed": ident})
        return JSONResponse({"id": ident, "app": app, "name": name})


def _call(event: str, connection: str, app: str, name: str, user: str) -> HookCall:
    fields = {"event": event, "id": connection, "app": app, "name": name, "ip": "192.0.2.7"}
    return HookCall.of_json(f"/hooks/{SERVER}", {**fields, "query": f"user={user}&key=sek"})


DOUBLE = SeventhKindDouble
