"""The HTTP callbacks of SRS: ``on_publish`` is waited for, ``on_unpublish`` is told.

Source: srs ``trunk/src/app/srs_app_http_hooks.cpp``. Anything but HTTP 200 with code 0 refuses. To be
refused before ``NetStream.Publish.Start`` needs SRS 5.0.212 or 6.0.123; not run against a real SRS here.

POST /hooks/srs   {"code":0}: go on; else refused
"""

from __future__ import annotations

import re
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
from edge.servers.hook_http import NOT_NOW, ServerHookSettings, read_object, status_of, words
from edge.servers.publish_arguments import PublishArguments
from edge.servers.srs.connector import SrsConnector

SERVER = "srs"

_CLIENT = re.compile(r"[A-Za-z0-9-]{1,64}")


class SrsHooks(FollowedHooks):
    """Admits, and follows to the end."""

    server = SERVER

    def __init__(self, gatekeeper: Gatekeeper, connector: SrsConnector, settings: ServerHookSettings) -> None:
        super().__init__(gatekeeper, connector, settings, connector.publishes)

    def routes(self) -> list[Route]:
        return [Route(f"/hooks/{SERVER}", self.callback, methods=["POST"])]

    async def callback(self, request: Request) -> Response:
        try:
            fields = await read_object(request, self._settings.secret)
            match text_of(fields, "action", 32):
                case "on_publish":
                    publish = read_publish(fields, self._settings.arguments)
                    admission = await self._follower.admit(publish)
                    if not admission.allowed:
                        status = 503 if admission.reason in NOT_NOW else 403
                        return _refusal(status, words(admission.notice))
                case "on_unpublish":
                    await self._follower.ended(read_publish(fields, self._settings.arguments))
        except InvalidInput as error:
            return _refusal(status_of(error), str(error))
        return JSONResponse({"code": 0})


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field."""
    app = plain(fields, "app", MAX_APP)
    name = stream_name(fields, "stream")
    connection = text_of(fields, "client_id")
    if not _CLIENT.fullmatch(connection):
        raise InvalidInput("client_id", "must be 1 to 64 of A-Z a-z 0-9 -")
    query = parse_query(text_of(fields, "param"))
    return arguments.publish(
        query,
        server=SERVER,
        connection=connection,
        app=app,
        name=name,
        address=address_of(text_of(fields, "ip", 128)),
    )


def _refusal(status: int, message: str) -> Response:
    return JSONResponse({"code": status, "msg": message}, status_code=status)
