"""The HTTP authentication of MediaMTX (``authMethod: http``): one URL, asked for every action.

2xx lets in; the server delays what is refused by itself. It says nothing when a publish ends, so that
is seen in its API; and calls of that API come here as ``action=api``, the gate's own kicks among them.
Source: mediamtx ``internal/auth``, ``internal/servers/rtsp``. Not run against a real MediaMTX here.

POST /hooks/mediamtx   200: go on; 401, 403: refused; 503: not now; 4xx: bad call
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import MAX_APP, address_of, argument, parse_query, plain, stream_name, text_of
from edge.servers.hook_http import NOT_NOW, ServerHookSettings, no_content, read_object, status_of, words
from edge.servers.mediamtx.connector import CONNECTION, MediaMtxConnector
from edge.servers.publish_arguments import PublishArguments

SERVER = "mediamtx"


@dataclass(frozen=True, slots=True)
class ApiCredentials:
    """Who may use MediaMTX's API, metrics and profiler; without a user only this machine may."""

    user: str = ""
    password: str = field(default="", repr=False)


class MediaMtxHooks(FollowedHooks):
    """Admits publishers, lets players in, guards the API."""

    server = SERVER

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        connector: MediaMtxConnector,
        settings: ServerHookSettings,
        credentials: ApiCredentials,
    ) -> None:
        super().__init__(gatekeeper, connector, settings, connector.publishes)
        self._credentials = credentials

    def routes(self) -> list[Route]:
        return [Route(f"/hooks/{SERVER}", self.authenticate, methods=["POST"])]

    async def authenticate(self, request: Request) -> Response:
        try:
            fields = await read_object(request, self._settings.secret)
            match text_of(fields, "action", 32):
                case "publish":
                    publish = read_publish(fields, self._settings.arguments)
                    admission = await self._follower.admit(publish)
                    if not admission.allowed:
                        status = 503 if admission.reason in NOT_NOW else 403
                        return _text(status, words(admission.notice))
                case "read" | "playback":
                    pass  # who may watch is not the gate's business
                case "api" | "metrics" | "pprof" as action:
                    if not self._may_control(fields):
                        return _text(401, f"{action}: user or password missing or wrong")
                case _:
                    return _text(403, "action: not known")
        except InvalidInput as error:
            return _text(status_of(error), str(error))
        return no_content()

    def _may_control(self, fields: Mapping[str, Any]) -> bool:
        if not self._credentials.user:
            address = address_of(text_of(fields, "ip", 128))
            return bool(address) and ipaddress.ip_address(address).is_loopback
        user = hmac.compare_digest(_bytes(fields, "user"), self._credentials.user.encode())
        password = hmac.compare_digest(_bytes(fields, "password"), self._credentials.password.encode())
        return user and password


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field.

    A path is ``app/name``, or ``name`` alone with an empty app. The broadcaster is the user that logged
    in, else the argument of that name in the query, else the path. RTSP is refused: ``id`` is then a
    connection's, and the API shows and kicks sessions, which outlive it where media goes over UDP.
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
    query = parse_query(text_of(fields, "query"))
    return arguments.publish(
        query,
        server=SERVER,
        connection=connection,
        app=app,
        name=name,
        address=address_of(text_of(fields, "ip", 128)),
        user=argument(fields, "user"),
    )


def _bytes(fields: Mapping[str, Any], field_name: str) -> bytes:
    return text_of(fields, field_name).encode("utf-8", "replace")


def _text(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status)
