"""The HTTP callbacks of SRS: ``on_publish`` is waited for, ``on_unpublish`` is told.

Source: srs ``trunk/src/app/srs_app_http_hooks.cpp``. Anything but HTTP 200 with code 0 refuses. To be
refused before ``NetStream.Publish.Start`` needs SRS 5.0.212 or 6.0.123; not run against a real SRS here.

POST /hooks/srs   {"code":0}: go on; else refused
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.servers.dialect import Dialect, hook_field, refuse_with_object, says_code_0
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.hook_body import MAX_APP, parse_object, plain, stream_name, text_of
from edge.servers.publish_arguments import PublishArguments
from edge.servers.srs.connector import CLIENT
from edge.servers.srs.settings import SERVER

DIALECT: Final = Dialect(
    asks=lambda path, body: hook_field(body, "action") == "on_publish",
    accepts=says_code_0,
    refuse=refuse_with_object(503, code=503),
    publish=lambda body, arguments: read_publish(parse_object(body), arguments),
)


class SrsHooks(FollowedHooks):
    """Admits publishers, and follows them to the end."""

    server = SERVER

    async def on_call(self, request: Request, body: bytes) -> Response:
        fields = parse_object(body)
        match text_of(fields, "action", 32):
            case "on_publish":
                return await self.admit(read_publish(fields, self._arguments))
            case "on_unpublish":
                await self._follower.ended(read_publish(fields, self._arguments))
        return self.accept()

    def accept(self) -> Response:
        return JSONResponse({"code": 0})

    def refuse(self, status: int, why: str) -> Response:
        return JSONResponse({"code": status, "msg": why}, status_code=status)


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field."""
    app = plain(fields, "app", MAX_APP)
    name = stream_name(fields, "stream")
    connection = text_of(fields, "client_id")
    if not CLIENT.fullmatch(connection):
        raise InvalidInput("client_id", "must be 1 to 64 of A-Z a-z 0-9 -")
    return arguments.publish_of(fields, "param", server=SERVER, connection=connection, app=app, name=name)
