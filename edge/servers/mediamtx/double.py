"""A double of MediaMTX: its control API, and its HTTP authentication."""

from __future__ import annotations

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from edge.servers.mediamtx.connector import MediaMtxConnector
from edge.servers.mediamtx.settings import SERVER, MediaMtxSection
from edge.servers.server_double import SECRET, HookCall, ServerDouble, basic_credentials


class MediaMtxDouble(ServerDouble):
    """RTMPS is switched off: its collection answers 404 without MediaMTX's words. It has no RTSP."""

    kind = SERVER
    ids = (
        "rtmp/2a9f2d38-5f0c-4a0b-8b0e-1f4a6c1e9d11",
        "srt/7bd3ac3e-27b4-4d8b-8f6f-b5d4a6a0c222",
    )
    unknown = "rtmp/00000000-0000-0000-0000-000000000000"
    name_field = "path"
    allows = Response(status_code=200)
    denies = PlainTextResponse("no such account", 401)
    no_such = JSONResponse({"status": "error", "error": "connection not found"}, 404)

    def section(self, secret: str = SECRET) -> MediaMtxSection:
        return MediaMtxSection(
            trust_broadcaster=True, api_url=self.url, api_user="gate", api_password=SecretStr(secret)
        )

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> MediaMtxConnector:
        return MediaMtxConnector(self.section(secret), timeout_s=timeout_s)

    def publish_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        protocol, _, ident = connection.partition("/")
        fields = {"action": "publish", "protocol": protocol, "id": ident, "path": f"{app}/{name}"}
        query = f"user={user}&key=sek"
        return HookCall.of_json(f"/hooks/{SERVER}", {**fields, "ip": "192.0.2.7", "user": "", "query": query})

    def ended_call(self, connection: str, app: str, name: str, user: str) -> None:
        return None

    def answer(self, method: str, path: str, request: Request) -> Response:
        if basic_credentials(request) != f"gate:{SECRET}":
            return JSONResponse({"status": "error", "error": "authentication error"}, 401)
        collection, verb, ident = path.removeprefix("/v3/").split("/", 2)
        if collection == "paths":
            app, _, name = ident.rpartition("/")
            source = self.by_name(app, name)
            if source is None:
                return JSONResponse({"status": "error", "error": "path not found"}, 404)
            kind, _, uuid = source.partition("/")
            return JSONResponse({"name": ident, "source": {"type": f"{kind}Conn", "id": uuid}})
        if collection not in {"rtmpconns", "srtconns"}:
            return PlainTextResponse("404 page not found", 404)
        connection = f"{collection.removesuffix('conns')}/{ident}"
        if connection not in self.sessions:
            return JSONResponse({"status": "error", "error": "connection not found"}, 404)
        if (method, verb) == ("POST", "kick"):
            del self.sessions[connection]
            return JSONResponse({"status": "ok"})
        return JSONResponse({"id": ident, "state": "publish"})


DOUBLE = MediaMtxDouble
