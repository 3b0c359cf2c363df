"""The hook bodies of nginx-rtmp, read by rules that a hostile publisher cannot bend.

nginx writes its own fields first and then appends the query of the publish URL as the client sent
it, so a client can append a second ``name=`` or ``app=``: the first occurrence of a key is nginx's.
Source: nginx-rtmp-module ``ngx_rtmp_notify_module.c``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote_plus

from edge.domain import Publish
from edge.errors import InvalidInput, LimitExceeded

SERVER = "nginx-rtmp"
MAX_BODY_BYTES = 8 * 1024
MAX_FIELDS = 64
MAX_NAME = 255
MAX_APP = 127
"""FFmpeg's RTMP client cuts longer apps off without a word."""
MAX_ARGUMENT = 512

_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
_CONNECTION = re.compile(r"[0-9]{1,20}")
_RENAMED_BY_FFMPEG = (".flv", ".mp4", ".f4v")


def parse_form(body: bytes) -> dict[str, str]:
    """``application/x-www-form-urlencoded`` with the first occurrence of each key.

    Raises LimitExceeded over 8 KiB or 64 fields, InvalidInput for text that is not UTF-8.
    """
    if len(body) > MAX_BODY_BYTES:
        raise LimitExceeded("body", MAX_BODY_BYTES, len(body), "bytes")
    pairs = body.split(b"&") if body else []
    if len(pairs) > MAX_FIELDS:
        raise LimitExceeded("body", MAX_FIELDS, len(pairs), "fields")
    fields: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition(b"=")
        try:
            fields.setdefault(
                unquote_plus(key.decode("utf-8"), errors="strict"),
                unquote_plus(value.decode("utf-8"), errors="strict"),
            )
        except UnicodeDecodeError:
            raise InvalidInput("body", "is not UTF-8") from None
    return fields


def read_publish(fields: Mapping[str, str], broadcaster_argument: str) -> Publish:
    """The publish that an ``on_publish`` body speaks of.

    The broadcaster is the argument of that name in the publish URL, else ``app/name``; the argument
    ``key`` becomes ``attributes["stream_key"]``. Raises InvalidInput or LimitExceeded with the field.
    """
    app, name, connection = read_connection(fields, "publish")
    broadcaster = _argument(fields, broadcaster_argument) or f"{app}/{name}"
    key = _argument(fields, "key")
    return Publish(
        server=SERVER,
        connection=connection,
        app=app,
        name=name,
        broadcaster=broadcaster,
        address=_address(fields.get("addr", "")),
        attributes={"stream_key": key} if key else {},
    )


def read_connection(fields: Mapping[str, str], call: str) -> tuple[str, str, str]:
    """``(app, name, clientid)`` of a body whose ``call`` is the one expected."""
    if fields.get("call") != call:
        raise InvalidInput("call", f"must be {call!r}")
    app = _plain(fields, "app", MAX_APP)
    name = _plain(fields, "name", MAX_NAME)
    if name.endswith(_RENAMED_BY_FFMPEG):
        raise InvalidInput("name", f"must not end in {', '.join(_RENAMED_BY_FFMPEG)}")
    connection = fields.get("clientid", "")
    if not _CONNECTION.fullmatch(connection):
        raise InvalidInput("clientid", "must be 1 to 20 digits")
    return app, name, connection


def _plain(fields: Mapping[str, str], field: str, limit: int) -> str:
    """A name that the pull URL, the stat page and the control API all spell the same way.

    nginx compares names without decoding them, and FFmpeg sends them without decoding either: with
    any other character the gate would watch, or cut, a stream of another name.
    """
    value = fields.get(field, "")
    if len(value) > limit:
        raise LimitExceeded(field, limit, len(value), "characters")
    if not _PLAIN.fullmatch(value):
        raise InvalidInput(field, "must be one or more of A-Z a-z 0-9 . _ ~ -")
    return value


def _argument(fields: Mapping[str, str], field: str) -> str:
    value = fields.get(field, "")
    if len(value) > MAX_ARGUMENT:
        raise LimitExceeded(field, MAX_ARGUMENT, len(value), "characters")
    if not value.isprintable():
        raise InvalidInput(field, "must not contain control characters")
    return value


def _address(text: str) -> str:
    """The IP address without a port; empty for a unix socket or anything else."""
    host = text.rpartition(":")[0] if re.fullmatch(r"[0-9.]+:[0-9]+|\[.*\]:[0-9]+", text) else text
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return ""
