"""The notify hook of Node-Media-Server 4.4: one URL for every event, told after the fact.

The server does not wait for the answer: a publish has begun when ``prePublish`` arrives, an answer
other than 200 closes it, and a hook that fails lets it go on. So who is refused here is also cut.
Source: node-media-server 4.4.3 ``src/server/{notify,broadcast}_server.js``.

POST /hooks/node-media-server   200: go on; 403: refused; 503: not now; 4xx: bad call
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.domain import Publish, StreamId
from edge.errors import InvalidInput
from edge.notices.notice import Notice, notice
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import MAX_APP, address_of, plain, stream_name, text_of
from edge.servers.hook_http import NOT_NOW, ServerHookSettings, no_content, read_object, status_of, words
from edge.servers.node_media_server.connector import NodeMediaServerConnector
from edge.servers.publish_arguments import PublishArguments
from edge.servers.publish_lifecycle import cut_target

SERVER = "node-media-server"

_SESSION = re.compile(r"[0-9a-z]{1,64}")


class NodeMediaServerHooks(FollowedHooks):
    """Admits, verifies with the server's API who really publishes, and follows to the end."""

    server = SERVER

    def __init__(
        self, gatekeeper: Gatekeeper, connector: NodeMediaServerConnector, settings: ServerHookSettings
    ) -> None:
        super().__init__(gatekeeper, connector, settings, connector.publishes)
        self._gatekeeper = gatekeeper
        self._connector = connector

    def routes(self) -> list[Route]:
        return [Route(f"/hooks/{SERVER}", self.notify, methods=["POST"])]

    async def notify(self, request: Request) -> Response:
        try:
            fields = await read_object(request, self._settings.secret)
            action = text_of(fields, "action", 32)
            if action == "prePublish":
                return await self._pre_publish(read_publish(fields, self._settings.arguments))
            if action == "donePublish":
                # Comes half a minute late, or never when the encoder was back before.
                await self._follower.ended(read_publish(fields, self._settings.arguments))
        except InvalidInput as error:
            return _text(status_of(error), str(error))
        return no_content()  # any other answer would close a player or a recording

    async def _pre_publish(self, publish: Publish) -> Response:
        admission = await self._gatekeeper.admit(publish)
        if not admission.allowed or admission.stream_id is None:
            self._follower.expel(publish)
            return _refusal(503 if admission.reason in NOT_NOW else 403, admission.notice)
        if await self._connector.publishes(cut_target(StreamId(""), publish)) is False:
            # The name is taken, the server's own check failed, or this is a replay.
            self._gatekeeper.turned_away(publish, "not_the_publisher")
            await self._follower.dismiss(admission.stream_id, publish)
            return _refusal(403, None)
        self._follower.follow(admission.stream_id, publish)
        if not await self._gatekeeper.still_admitted(admission.stream_id):
            self._gatekeeper.turned_away(publish, "cut")
            return _refusal(403, notice("cut"))
        return no_content()


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field.

    The server hands the publish URL's query over parsed: an argument that was given twice is a list.
    """
    app = plain(fields, "app", MAX_APP)
    name = stream_name(fields)
    connection = text_of(fields, "id")
    if not _SESSION.fullmatch(connection):
        raise InvalidInput("id", "must be 1 to 64 of 0-9 a-z")
    query = fields.get("query")
    if query is None:
        query = {}
    if not isinstance(query, dict):
        raise InvalidInput("query", "must be an object")
    return arguments.publish(
        {key: _single(value) for key, value in query.items()},
        server=SERVER,
        connection=connection,
        app=app,
        name=name,
        # Always with a port, and IPv6 without brackets.
        address=address_of(text_of(fields, "ip", 128).rpartition(":")[0]),
    )


def _single(value: Any) -> Any:
    """The value of an argument that was given again and again with the same one; else as it is."""
    if isinstance(value, list) and value and all(each == value[0] for each in value):
        return value[0]
    return value


def _text(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status)


def _refusal(status: int, message: Notice | None) -> Response:
    return _text(status, words(message))
