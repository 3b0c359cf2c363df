"""The webhooks of ZLMediaKit: ``on_publish`` is waited for, ``on_flow_report`` tells the end.

Every answer is HTTP 200, because the server would ask again after three seconds otherwise. ``code`` says what
the answer means. Source: ZLMediaKit ``server/WebHook.cpp``, ``webrtc/WebRtcTransport.cpp``. Not run against a
real ZLMediaKit here.

POST /hooks/zlmediakit/on_publish       {"code":0}: go on; else refused, "msg" says why
POST /hooks/zlmediakit/on_flow_report   {"code":0}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.servers.dialect import Dialect, refuse_with_object, says_code_0
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.hook_body import MAX_APP, parse_object, plain, stream_name, text_of
from edge.servers.hook_http import hook_route
from edge.servers.publish_arguments import PublishArguments
from edge.servers.zlmediakit.connector import SESSION
from edge.servers.zlmediakit.settings import SERVER

ON_PUBLISH: Final = f"/hooks/{SERVER}/on_publish"
ON_FLOW_REPORT: Final = f"/hooks/{SERVER}/on_flow_report"


DIALECT: Final = Dialect(
    asks=lambda path, body: path == ON_PUBLISH,
    accepts=lambda response: response.status_code == 200 and says_code_0(response),
    refuse=refuse_with_object(200, code=-1),
    publish=lambda body, arguments: read_publish(parse_object(body), arguments),
)


class ZlMediaKitHooks(FollowedHooks):
    """Admits publishers, and follows them to the end."""

    server = SERVER

    def routes(self) -> list[Route]:
        paths = (ON_PUBLISH, ON_FLOW_REPORT)
        return [hook_route(path, self._secret, self.on_call, self.refuse) for path in paths]

    async def on_call(self, request: Request, body: bytes) -> Response:
        fields = parse_object(body)
        if request.url.path == ON_PUBLISH:
            return await self.admit(read_publish(fields, self._arguments))
        if fields.get("player") is False:
            await self._follower.ended(read_publish(fields, self._arguments))
        return self.accept()

    def accept(self) -> Response:
        return JSONResponse({"code": 0, "msg": "success"})

    def refuse(self, status: int, why: str) -> Response:
        return JSONResponse({"code": -1, "msg": why})


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field.

    WebRTC is refused: its ``id`` names the HTTP session that carried the offer. That session does not
    publish, and to kick it ends nothing.
    """
    if text_of(fields, "schema", 16) == "rtc" or text_of(fields, "originTypeStr", 32) == "rtc_push":
        raise InvalidInput("schema", "must not be rtc: WebRTC cannot be watched and cut here, RTMP can")
    app = plain(fields, "app", MAX_APP)
    name = stream_name(fields, "stream")
    connection = text_of(fields, "id")
    if not SESSION.fullmatch(connection):
        raise InvalidInput("id", "must be 1 to 128 of A-Z a-z 0-9 . _ : -")
    return arguments.publish_of(fields, "params", server=SERVER, connection=connection, app=app, name=name)
