"""The notify hook of Node-Media-Server 4.4: one URL for every event, told after the fact.

The server does not wait for the answer. A publish has begun when ``prePublish`` arrives. An answer other than
200 closes it, and a hook that fails lets it go on. So whoever is refused here is also cut.
Source: node-media-server 4.4.3 ``src/server/{notify,broadcast}_server.js``.

POST /hooks/node-media-server   200: go on; 403: refused; 503: not now; 4xx: bad call
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from edge.domain import Publish, StreamId
from edge.errors import InvalidInput
from edge.notices.notice import notice
from edge.servers.connector import ApiConnector
from edge.servers.dialect import Dialect, hook_field, refuse_with_text
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import MAX_APP, address_of, parse_object, plain, stream_name, text_of
from edge.servers.hook_http import refusal_status, words
from edge.servers.node_media_server.connector import SESSION
from edge.servers.node_media_server.settings import SERVER, NodeMediaServerSection
from edge.servers.publish_arguments import PublishArguments
from edge.servers.publish_lifecycle import cut_target

DIALECT: Final = Dialect(
    asks=lambda path, body: hook_field(body, "action") == "prePublish",
    accepts=lambda response: response.status_code == 200,
    refuse=refuse_with_text(503),
    publish=lambda body, arguments: read_publish(parse_object(body), arguments),
)


class NodeMediaServerHooks(FollowedHooks):
    """Admits publishers, asks the server's API who really publishes, and follows them to the end."""

    server = SERVER

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        connector: ApiConnector,
        settings: NodeMediaServerSection,
        secret: str | None,
    ) -> None:
        super().__init__(gatekeeper, connector, settings, secret)
        self._gatekeeper = gatekeeper
        self._connector = connector

    async def on_call(self, request: Request, body: bytes) -> Response:
        fields = parse_object(body)
        match text_of(fields, "action", 32):
            case "prePublish":
                return await self.admit(read_publish(fields, self._arguments))
            case "donePublish":
                # Comes half a minute late, or never when the encoder was back before.
                await self._follower.ended(read_publish(fields, self._arguments))
        return self.accept()  # any other answer would close a player or a recording

    async def admit(self, publish: Publish) -> Response:
        """As at any kind. Whoever is refused is also cut, because the publish has begun."""
        admission = await self._gatekeeper.admit(publish)
        if not admission.allowed or admission.stream_id is None:
            self._follower.expel(publish)
            return self.refuse(refusal_status(admission.reason), words(admission.notice))
        if await self._connector.publishes(cut_target(StreamId(""), publish)) is False:
            # The name is taken, the server's own check failed, or this is a replay.
            self._gatekeeper.turned_away(publish, "not_the_publisher")
            await self._follower.dismiss(admission.stream_id, publish)
            return self.refuse(403, "")
        self._follower.follow(admission.stream_id, publish)
        if not await self._gatekeeper.still_admitted(admission.stream_id):
            self._gatekeeper.turned_away(publish, "cut")
            return self.refuse(403, words(notice("cut")))
        return self.accept()


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field.

    The server hands the publish URL's query over parsed: an argument that was given twice is a list.
    """
    app = plain(fields, "app", MAX_APP)
    name = stream_name(fields)
    connection = text_of(fields, "id")
    if not SESSION.fullmatch(connection):
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
