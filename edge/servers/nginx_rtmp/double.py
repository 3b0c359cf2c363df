"""A double of nginx-rtmp with one worker: its control API and stat page, and its form-encoded hooks."""

from __future__ import annotations

from urllib.parse import urlencode
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from edge.servers.nginx_rtmp.connector import NginxRtmpConnector
from edge.servers.nginx_rtmp.hooks import ON_PUBLISH, ON_PUBLISH_DONE
from edge.servers.nginx_rtmp.settings import SERVER, NginxRtmpSection
from edge.servers.server_double import SECRET, HookCall, ServerDouble

_FORM = {"content-type": "application/x-www-form-urlencoded"}
_PID = "0"
"""No process has it."""


class NginxRtmpDouble(ServerDouble):
    kind = SERVER
    ids = ("7", "8")
    unknown = "99"
    has_credentials = False
    calls_to_find_nothing = 17
    name_field = "name"
    allows = Response(status_code=204)
    denies = PlainTextResponse("no such account", 404)
    no_such = PlainTextResponse("0")

    def section(self, secret: str = SECRET) -> NginxRtmpSection:
        return NginxRtmpSection(
            trust_broadcaster=True,
            control_url=f"{self.url}/control",
            stat_url=f"{self.url}/stat",
            pull_wait_ms=0,
        )

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> NginxRtmpConnector:
        return NginxRtmpConnector(self.section(), timeout_s=timeout_s, count_workers=lambda pid: 1)

    def publish_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return HookCall(ON_PUBLISH, _form("publish", connection, app, name, user), _FORM)

    def ended_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return HookCall(ON_PUBLISH_DONE, _form("publish_done", connection, app, name, user), _FORM)

    def answer(self, method: str, path: str, request: Request) -> Response:
        if path == "/stat":
            return Response(self._stat_page(), media_type="text/xml")
        if path != "/control/drop/publisher":
            return PlainTextResponse("", 404)
        query = request.query_params
        connection = query.get("clientid", "")
        found = self.sessions.get(connection) == (query.get("app"), query.get("name"))
        if found:
            del self.sessions[connection]
        return PlainTextResponse(str(int(found)))

    def _stat_page(self) -> str:
        streams = "".join(
            f"<application><name>{escape(app)}</name><live><stream><name>{escape(name)}</name>"
            f"<client><id>{connection}</id><publishing/></client></stream></live></application>"
            for connection, (app, name) in self.sessions.items()
        )
        return f"<rtmp><pid>{_PID}</pid><server>{streams}</server></rtmp>"


def _form(call: str, connection: str, app: str, name: str, user: str) -> bytes:
    fields = {"app": app, "addr": "192.0.2.7", "clientid": connection, "call": call, "name": name}
    return urlencode({**fields, "user": user, "key": "sek"}).encode()


DOUBLE = NginxRtmpDouble
