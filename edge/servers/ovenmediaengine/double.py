"""A double of OvenMediaEngine: its streams API, and its signed admission webhook."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge.servers.ovenmediaengine.connector import OvenMediaEngineConnector
from edge.servers.ovenmediaengine.hooks import signature_of
from edge.servers.ovenmediaengine.settings import SERVER, OvenMediaEngineSection
from edge.servers.server_double import SECRET, HookCall, ServerDouble, basic_credentials

_KEY = "1234"
_calls = itertools.count()


class OvenMediaEngineDouble(ServerDouble):
    kind = SERVER
    ids = ("192.0.2.1:50001", "2001:db8::1:50002")
    unknown = "192.0.2.1:50009"
    name_field = "url"
    allows = JSONResponse({"allowed": True, "lifetime": 60_000})
    denies = JSONResponse({"allowed": False, "reason": "no such account"})
    no_such = JSONResponse({"statusCode": 404, "message": "Could not find the stream (404)"}, 404)

    def section(self, secret: str = SECRET) -> OvenMediaEngineSection:
        return OvenMediaEngineSection(
            trust_broadcaster=True,
            api_url=self.url,
            access_token=SecretStr(secret),
            secret_key=SecretStr(_KEY),
        )

    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> OvenMediaEngineConnector:
        return OvenMediaEngineConnector(self.section(secret), timeout_s=timeout_s)

    def publish_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return _call("opening", connection, app, name, user)

    def ended_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        return _call("closing", connection, app, name, user)

    def answer(self, method: str, path: str, request: Request) -> Response:
        if basic_credentials(request) != SECRET:
            return JSONResponse({"statusCode": 401, "message": "[HTTP] Authorization (401)"}, 401)
        _, _, vhost, _, app, _, name = path.strip("/").split("/")
        peer = self.by_name(app, name) if vhost == "default" else None
        if peer is None:
            return JSONResponse({"statusCode": 404, "message": "Could not find the stream (404)"}, 404)
        if method == "DELETE":
            del self.sessions[peer]
            return JSONResponse({"statusCode": 200, "message": "OK"})
        address, _, port = peer.rpartition(":")
        url = f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{peer}"
        source = {"sourceType": "Rtmp", "sourceUrl": url, "tracks": []}
        return JSONResponse({"statusCode": 200, "response": {"name": name, "input": source}})


def _call(status: str, connection: str, app: str, name: str, user: str) -> HookCall:
    address, _, port = connection.rpartition(":")
    # The server gives no two calls one body; a body that comes again is a replay.
    client = {"address": address, "port": int(port), "user_agent": f"OBS {next(_calls)}"}
    asked: dict[str, Any] = {"direction": "incoming", "protocol": "rtmp", "status": status}
    asked["url"] = f"rtmp://ome:1935/{app}/{name}?user={user}&key=sek"
    asked["time"] = datetime.now(UTC).isoformat()
    body = json.dumps({"client": client, "request": asked}).encode()
    return HookCall(f"/hooks/{SERVER}", body, {"x-ome-signature": signature_of(_KEY, body)})


DOUBLE = OvenMediaEngineDouble
