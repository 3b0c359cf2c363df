"""Reads hook bodies from untrusted senders: forms, JSON, names, arguments, addresses."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import unquote_plus

from edge.errors import InvalidInput, LimitExceeded
from edge.names import stored_name

MAX_BODY_BYTES = 8 * 1024
MAX_FIELDS = 64
MAX_DEPTH = 4
MAX_NAME = 255
MAX_APP = 127
"""FFmpeg's RTMP client cuts longer apps off without a word."""
MAX_ARGUMENT = 512

_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
_RENAMED_BY_FFMPEG = (".flv", ".mp4", ".f4v")


class Form(dict[str, str]):
    """The first occurrence of each key.

    ``ambiguous``: keys for which another reader of the same text may find another value. Such a key came
    again with another value, or under a name that PHP reads as the same. PHP drops blanks before a name, ends
    it at a NUL or a bracket, and writes ``_`` for a dot or a blank.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ambiguous: set[str] = set()

    def add_field(self, key: str, value: str) -> None:
        if self.setdefault(key, value) != value:
            self.ambiguous.add(key)
        as_php = re.split(r"[\0\[]", key.lstrip(" "), maxsplit=1)[0].replace(" ", "_").replace(".", "_")
        if as_php != key:
            self.ambiguous.add(as_php)


def parse_form(body: bytes) -> Form:
    """``application/x-www-form-urlencoded``, or a URL's query.

    Raises LimitExceeded over 8 KiB or 64 fields, InvalidInput for text that is not UTF-8.
    """
    if len(body) > MAX_BODY_BYTES:
        raise LimitExceeded("body", MAX_BODY_BYTES, len(body), "bytes")
    pairs = body.split(b"&") if body else []
    if len(pairs) > MAX_FIELDS:
        raise LimitExceeded("body", MAX_FIELDS, len(pairs), "fields")
    fields = Form()
    for pair in pairs:
        key, _, value = pair.partition(b"=")
        try:
            fields.add_field(
                unquote_plus(key.decode("utf-8"), errors="strict"),
                unquote_plus(value.decode("utf-8"), errors="strict"),
            )
        except UnicodeDecodeError:
            raise InvalidInput("body", "is not UTF-8") from None
    return fields


def parse_query(text: str) -> Form:
    """A query as a client sent it, with or without its question mark. Raises as ``parse_form``."""
    try:
        return parse_form(text.removeprefix("?").encode("utf-8"))
    except UnicodeEncodeError:  # a lone surrogate from a JSON escape
        raise InvalidInput("query", "is not UTF-8") from None


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object with the first occurrence of each key.

    Raises LimitExceeded over 8 KiB, 64 fields in one object or 4 levels, InvalidInput for anything else.
    """
    if len(body) > MAX_BODY_BYTES:
        raise LimitExceeded("body", MAX_BODY_BYTES, len(body), "bytes")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_first, parse_constant=_no_number)
    except InvalidInput:
        raise
    except RecursionError:
        raise InvalidInput("body", f"is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise InvalidInput("body", "is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise InvalidInput("body", "must be a JSON object")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    if level:
        raise InvalidInput("body", f"is nested deeper than {MAX_DEPTH} levels")
    return value


def text_of(fields: Mapping[str, Any], field: str, limit: int = MAX_BODY_BYTES) -> str:
    """A string of a JSON object; empty when it is absent. Raises InvalidInput for another type."""
    value = fields.get(field, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a string")
    if len(value) > limit:
        raise LimitExceeded(field, limit, len(value), "characters")
    return value


def plain(fields: Mapping[str, Any], field: str, limit: int) -> str:
    """A name that the pull URL, the state API and the control API all spell the same way.

    Ingest servers and FFmpeg decode names differently. With any other character the gate could watch, or cut,
    a stream of another name.
    """
    value = text_of(fields, field)
    if len(value) > limit:
        raise LimitExceeded(field, limit, len(value), "characters")
    if not _PLAIN.fullmatch(value) or value in {".", ".."}:
        raise InvalidInput(field, "must be one or more of A-Z a-z 0-9 . _ ~ -")
    return value


def stream_name(fields: Mapping[str, Any], field: str = "name") -> str:
    """A plain name that FFmpeg does not rename when it pulls."""
    name = plain(fields, field, MAX_NAME)
    if name.endswith(_RENAMED_BY_FFMPEG):
        raise InvalidInput(field, f"must not end in {', '.join(_RENAMED_BY_FFMPEG)}")
    return name


def argument(fields: Mapping[str, Any], field: str) -> str:
    """A printable value of at most 512 characters, as ``normal_text`` writes it; empty when it is absent.

    Raises InvalidInput for an argument that the platform's own hook may read as another. The gate would then
    judge somebody else than the platform lets in.
    """
    if isinstance(fields.get(field), list) or (isinstance(fields, Form) and field in fields.ambiguous):
        raise InvalidInput(field, "must be given once: it has several values, or spellings of its name")
    return stored_name(field, text_of(fields, field), MAX_ARGUMENT)


def address_of(text: str) -> str:
    """The IP address without a port; empty for a unix socket or anything else.

    An IPv4-mapped IPv6 address (``::ffff:10.0.0.1``) becomes IPv4, so that a block of it holds on both kinds
    of sockets.
    """
    host = text.rpartition(":")[0] if re.fullmatch(r"[0-9.]+:[0-9]+|\[.*\]:[0-9]+", text) else text
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_FIELDS:
        raise LimitExceeded("body", MAX_FIELDS, len(pairs), "fields")
    return dict(reversed(pairs))


def _no_number(text: str) -> NoReturn:
    raise InvalidInput("body", f"must not contain {text}")
