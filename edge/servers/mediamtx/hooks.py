"""The HTTP authentication of MediaMTX (``authMethod: http``): one URL, asked for every action.

2xx lets in. The server itself delays the answer to whoever is refused. It does not tell the end of a publish,
so the gate sees it in the API. Calls of that API come here as ``action=api``, the gate's own kicks among
them.
Source: mediamtx ``internal/auth``, ``internal/servers/rtsp``. Not run against a real MediaMTX here.

POST /hooks/mediamtx   200: go on; 401, 403: refused; 503: not now; 4xx: bad call
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.servers.connector import ApiConnector
from edge.servers.dialect import Dialect, hook_field, refuse_with_text
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import (
    MAX_APP,
    address_of,
    argument,
    parse_object,
    plain,
    stream_name,
    text_of,
)
from edge.servers.mediamtx.connector import CONNECTION
from edge.servers.mediamtx.settings import SERVER, MediaMtxSection
from edge.servers.publish_arguments import PublishArguments

_CONTROL: Final = frozenset({"api", "metrics", "pprof"})
"""Actions that ask for the server's API, metrics and profiler."""

DIALECT: Final = Dialect(
    asks=lambda path, body: True,
    accepts=lambda response: response.status_code // 100 == 2,
    refuse=refuse_with_text(503),
    publish=lambda body, arguments: read_publish(parse_object(body), arguments),
    # The gate's own kicks must not hang on the platform.
    ours=lambda body: hook_field(body, "action") in _CONTROL,
)


class MediaMtxHooks(FollowedHooks):
    """Admits publishers, lets players in, guards the API.

    ``api_user`` may use the API, the metrics and the profiler; without one only this machine may.
    """

    server = SERVER

    def __init__(
        self, gatekeeper: Gatekeeper, connector: ApiConnector, settings: MediaMtxSection, secret: str | None
    ) -> None:
        super().__init__(gatekeeper, connector, settings, secret)
        self._api_user = settings.api_user
        self._api_password = settings.api_password

    async def on_call(self, request: Request, body: bytes) -> Response:
        fields = parse_object(body)
        match text_of(fields, "action", 32):
            case "publish":
                return await self.admit(read_publish(fields, self._arguments))
            case "read" | "playback":
                return self.accept()  # who may watch is not the gate's business
            case action if action in _CONTROL:
                if self._may_control(fields):
                    return self.accept()
                return self.refuse(401, f"{action}: user or password missing or wrong")
        return self.refuse(403, "action: not known")

    def _may_control(self, fields: Mapping[str, Any]) -> bool:
        if not self._api_user:
            address = address_of(text_of(fields, "ip", 128))
            return bool(address) and ipaddress.ip_address(address).is_loopback
        user = hmac.compare_digest(_bytes(fields, "user"), self._api_user.encode())
        password = self._api_password.get_secret_value().encode()
        return hmac.compare_digest(_bytes(fields, "password"), password) and user


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field.

    A path is ``app/name``, or ``name`` alone with an empty app. The broadcaster is the user who logged in,
    else the argument of that name in the query, else the path. RTSP is refused: its ``id`` names a
    connection, but the API shows and kicks sessions, which outlive the connection where media goes over UDP.
    """
    protocol = text_of(fields, "protocol", 16)
    if protocol in {"rtsp", "rtsps"}:
        raise InvalidInput(
            "protocol", "must not be RTSP, which cannot be cut: publish by RTMP, SRT or WebRTC"
        )
    path = text_of(fields, "path")
    app, slash, name = path.rpartition("/")
    if slash:
        plain({"path": app}, "path", MAX_APP)
    stream_name({"path": name}, "path")
    connection = f"{protocol}/{text_of(fields, 'id', 64)}"
    if not CONNECTION.fullmatch(connection):
        raise InvalidInput("id", "must be a UUID, of a protocol that can be cut")
    return arguments.publish_of(
        fields,
        "query",
        server=SERVER,
        connection=connection,
        app=app,
        name=name,
        user=argument(fields, "user"),
    )


def _bytes(fields: Mapping[str, Any], field_name: str) -> bytes:
    return text_of(fields, field_name).encode("utf-8", "replace")
