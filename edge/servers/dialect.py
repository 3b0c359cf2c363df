"""How a kind of server understands the answer to a hook, and how it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import PlainTextResponse, Response

from edge.domain import Publish
from edge.errors import InvalidInput
from edge.servers.hook_body import parse_object
from edge.servers.publish_arguments import PublishArguments


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the upstream hook needs to know of a kind of server."""

    asks: Callable[[str, bytes], bool]
    """Whether a call, by its path and body, waits for permission. Other calls only tell."""
    accepts: Callable[[Response], bool]
    """Whether an answer lets a publish in."""
    refuse: Callable[[str], Response]
    """An answer that lets nobody in, with the reason."""
    publish: Callable[[bytes, PublishArguments], Publish]
    """The publish that a body asks about. Raises InvalidInput."""
    ours: Callable[[bytes], bool] = lambda body: False
    """Whether a body is for the gate alone."""


def hook_field(body: bytes, *path: str) -> object:
    """The value at a path of keys in the JSON object that a server sent; None where there is none."""
    try:
        value: Any = parse_object(body)
    except InvalidInput:
        return None
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def answer_object(response: Response) -> dict[str, Any]:
    """The JSON object in an answer; empty where there is none."""
    try:
        value = json.loads(bytes(response.body))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def says_code_0(response: Response) -> bool:
    """HTTP 200 or 201 with ``0`` or ``{"code":0}``."""
    text = bytes(response.body).strip()
    code = answer_object(response).get("code")
    return response.status_code in {200, 201} and (text == b"0" or (code == 0 and code is not False))


def refuse_with_text(status: int) -> Callable[[str], Response]:
    """Refusals of that HTTP status, with the reason as text."""
    return lambda why: PlainTextResponse(f"{why}\n", status, {"connection": "close"})


def refuse_with_object(status: int, **fields: Any) -> Callable[[str], Response]:
    """Refusals of that HTTP status, as a JSON object of ``fields`` and the reason."""
    return lambda why: Response(
        json.dumps({**fields, "msg": why, "reason": why}), status, media_type="application/json"
    )
