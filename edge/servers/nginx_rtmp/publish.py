"""Reads the hook bodies of nginx-rtmp, so that a hostile publisher cannot change what nginx says.

nginx writes its own fields first and then appends the query of the publish URL as the client sent
it, so a client can append a second ``name=`` or ``app=``: the first occurrence of a key is nginx's.
Source: nginx-rtmp-module ``ngx_rtmp_notify_module.c``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.servers.hook_body import MAX_APP, address_of, plain, stream_name
from edge.servers.nginx_rtmp.settings import SERVER
from edge.servers.publish_arguments import PublishArguments

_CONNECTION = re.compile(r"[0-9]{1,20}")


def read_publish(fields: Mapping[str, str], arguments: PublishArguments) -> Publish:
    """The publish that an ``on_publish`` body speaks of.

    The publish URL's arguments stand in it beside the server's own. Raises InvalidInput or LimitExceeded
    with the field.
    """
    app, name, connection = read_connection(fields, "publish")
    return arguments.publish(
        fields,
        server=SERVER,
        connection=connection,
        app=app,
        name=name,
        address=address_of(fields.get("addr", "")),
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
