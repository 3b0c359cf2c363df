"""The hook bodies of nginx-rtmp, read by rules that a hostile publisher cannot bend.

nginx writes its own fields first and then appends the query of the publish URL as the client sent
it, so a client can append a second ``name=`` or ``app=``: the first occurrence of a key is nginx's.
Source: nginx-rtmp-module ``ngx_rtmp_notify_module.c``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.hooks.fields import MAX_APP, address_of, argument, plain, stream_name

SERVER = "nginx-rtmp"

_CONNECTION = re.compile(r"[0-9]{1,20}")


def read_publish(fields: Mapping[str, str], broadcaster_argument: str) -> Publish:
    """The publish that an ``on_publish`` body speaks of.

    The broadcaster is the argument of that name in the publish URL, else ``app/name``; the argument
    ``key`` becomes ``attributes["stream_key"]``. Raises InvalidInput or LimitExceeded with the field.
    """
    app, name, connection = read_connection(fields, "publish")
    broadcaster = argument(fields, broadcaster_argument) or f"{app}/{name}"
    key = argument(fields, "key")
    return Publish(
        server=SERVER,
        connection=connection,
        app=app,
        name=name,
        broadcaster=broadcaster,
        address=address_of(fields.get("addr", "")),
        attributes={"stream_key": key} if key else {},
    )


def read_connection(fields: Mapping[str, str], call: str) -> tuple[str, str, str]:
    """``(app, name, clientid)`` of a body whose ``call`` is the one expected."""
    if fields.get("call") != call:
        raise InvalidInput("call", f"must be {call!r}")
    app = plain(fields, "app", MAX_APP)
    name = stream_name(fields)
    connection = fields.get("clientid", "")
    if not _CONNECTION.fullmatch(connection):
        raise InvalidInput("clientid", "must be 1 to 20 digits")
    return app, name, connection
