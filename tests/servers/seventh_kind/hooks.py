"""The hook of the seventh kind: one URL, asked at ``start`` and told at ``stop``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.servers.dialect import Dialect, hook_field, refuse_with_text
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.hook_body import MAX_APP, parse_object, plain, stream_name, text_of
from edge.servers.publish_arguments import PublishArguments
from tests.servers.seventh_kind.connector import PUBLISHER
from tests.servers.seventh_kind.settings import SERVER

DIALECT: Final = Dialect(
    asks=lambda path, body: hook_field(body, "event") == "start",
    accepts=lambda response: response.status_code == 200,
    refuse=refuse_with_text(503),
    publish=lambda body, arguments: read_publish(parse_object(body), arguments),
)


class SeventhKindHooks(FollowedHooks):
    server = SERVER

    async def on_call(self, request: Request, body: bytes) -> Response:
        fields = parse_object(body)
        match text_of(fields, "event", 16):
            case "start":
                return await self.admit(read_publish(fields, self._arguments))
            case "stop":
                await self._follower.ended(read_publish(fields, self._arguments))
                return self.accept()
        raise InvalidInput("event", "must be 'start' or 'stop'")


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    app, name = plain(fields, "app", MAX_APP), stream_name(fields, "name")
    connection = text_of(fields, "id")
    if not PUBLISHER.fullmatch(connection):
        raise InvalidInput("id", "must be p- and digits")
    return arguments.publish_of(fields, "query", server=SERVER, connection=connection, app=app, name=name)
