"""The webhooks of ZLMediaKit: ``on_publish`` is waited for, ``on_flow_report`` tells the end.

Every answer is HTTP 200, since the server asks again after three seconds otherwise; ``code`` says what
it means. Source: ZLMediaKit ``server/WebHook.cpp``, ``webrtc/WebRtcTransport.cpp``. Not run against a
real ZLMediaKit here.

POST /hooks/zlmediakit/on_publish       {"code":0}: go on; else refused, "msg" says why
POST /hooks/zlmediakit/on_flow_report   {"code":0}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import MAX_APP, address_of, parse_query, plain, stream_name, text_of
from edge.servers.hook_http import ServerHookSettings, read_object, words
from edge.servers.publish_arguments import PublishArguments
from edge.servers.zlmediakit.connector import SESSION, ZlMediaKitConnector

SERVER = "zlmediakit"
_REFUSED = -1


class ZlMediaKitHooks(FollowedHooks):
    """Admits, and follows to the end."""

    server = SERVER

    def __init__(
        self, gatekeeper: Gatekeeper, connector: ZlMediaKitConnector, settings: ServerHookSettings
    ) -> None:
        super().__init__(gatekeeper, connector, settings, connector.publishes)

    def routes(self) -> list[Route]:
        return [
            Route(f"/hooks/{SERVER}/on_publish", self.on_publish, methods=["POST"]),
            Route(f"/hooks/{SERVER}/on_flow_report", self.on_flow_report, methods=["POST"]),
        ]

    async def on_publish(self, request: Request) -> Response:
        try:
            fields = await read_object(request, self._settings.secret)
            publish = read_publish(fields, self._settings.arguments)
        except InvalidInput as error:
            return _answer(_REFUSED, str(error))
        admission = await self._follower.admit(publish)
        return _answer(0, "success") if admission.allowed else _answer(_REFUSED, words(admission.notice))

    async def on_flow_report(self, request: Request) -> Response:
        try:
            fields = await read_object(request, self._settings.secret)
            if fields.get("player") is False:
                await self._follower.ended(read_publish(fields, self._settings.arguments))
        except InvalidInput as error:
            return _answer(_REFUSED, str(error))
        return _answer(0, "success")


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field.

    WebRTC is refused: ``id`` is then the HTTP session that carried the offer, which neither publishes nor
    can be kicked to any effect.
    """
    if text_of(fields, "schema", 16) == "rtc" or text_of(fields, "originTypeStr", 32) == "rtc_push":
        raise InvalidInput("schema", "must not be rtc: WebRTC cannot be watched and cut here, RTMP can")
    app = plain(fields, "app", MAX_APP)
    name = stream_name(fields, "stream")
    connection = text_of(fields, "id")
    if not SESSION.fullmatch(connection):
        raise InvalidInput("id", "must be 1 to 128 of A-Z a-z 0-9 . _ : -")
    query = parse_query(text_of(fields, "params"))
    return arguments.publish(
        query,
        server=SERVER,
        connection=connection,
        app=app,
        name=name,
        address=address_of(text_of(fields, "ip", 128)),
    )


def _answer(code: int, message: str) -> Response:
    return JSONResponse({"code": code, "msg": message})
