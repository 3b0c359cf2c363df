"""The admission webhook of OvenMediaEngine: signed, asked at ``opening``, told at ``closing``.

There is no connection id: the peer, ``ADDRESS:PORT``, stands for it. A ``closing`` that arrives after
the next ``opening`` of the same name carries the old peer, and so ends the old stream only.
Source: OvenMediaEngine ``docs/access-control/admission-webhooks.md``. Not run against a real one here.

POST /hooks/ovenmediaengine   {"allowed":true|false,"reason":...}; {} for a closing
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from cachetools import FIFOCache
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge.clock import Clock, SystemClock
from edge.domain import Publish
from edge.errors import InvalidInput, Unauthenticated
from edge.servers.connector import ApiConnector
from edge.servers.dialect import Dialect, answer_object, hook_field, refuse_with_object
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import MAX_APP, address_of, parse_object, parse_query, plain, stream_name, text_of
from edge.servers.ovenmediaengine.settings import SERVER, OvenMediaEngineSection
from edge.servers.publish_arguments import PublishArguments
from edge.servers.upstream_hook import upstream_answer

MAX_AGE_MS = 300_000
"""A hook whose time is further from ours is a replay, or a clock is wrong."""
_REMEMBERED = 65_536


def signature_of(secret: str, body: bytes) -> str:
    """``X-OME-Signature``: HMAC-SHA1 of the body, base64 for URLs, without padding."""
    digest = hmac.digest(secret.encode(), body, hashlib.sha1)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Replays:
    """Which signed bodies have been seen. Time in wall milliseconds, as an argument."""

    def __init__(self) -> None:
        self._seen: FIFOCache[str, None] = FIFOCache(_REMEMBERED)

    def check(self, signature: str, sent_ms: int, now_ms: int) -> None:
        """Raises Unauthenticated for a body that is old, or that has been here before."""
        if abs(now_ms - sent_ms) > MAX_AGE_MS:
            raise Unauthenticated("request.time", f"is more than {MAX_AGE_MS} ms away from the gate's clock")
        if signature in self._seen:
            raise Unauthenticated("body", "has been sent before")
        self._seen[signature] = None


DIALECT: Final = Dialect(
    asks=lambda path, body: hook_field(body, "request", "status") == "opening",
    accepts=lambda response: response.status_code == 200 and answer_object(response).get("allowed") is True,
    refuse=refuse_with_object(200, allowed=False),
    publish=lambda body, arguments: read_publish(parse_object(body), arguments),
)


class OvenMediaEngineHooks(FollowedHooks):
    """Admits publishers, lets players in, and follows publishers to the end.

    With an empty ``secret_key`` bodies are not signed, and replays pass.
    """

    server = SERVER

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        connector: ApiConnector,
        settings: OvenMediaEngineSection,
        secret: str | None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(gatekeeper, connector, settings, secret)
        self._secret_key = settings.secret_key.get_secret_value()
        self._clock = clock or SystemClock()
        self._replays = Replays()

    async def on_call(self, request: Request, body: bytes) -> Response:
        signature = self._signed(request, body)
        fields = parse_object(body)
        asked = _object(fields, "request")
        if url := new_url(request):
            asked["new_url"] = url
        if signature:
            self._replays.check(signature, time_of(asked), self._clock.wall_ms())
        incoming = text_of(asked, "direction", 16) == "incoming"
        match text_of(asked, "status", 16):
            case "opening" if incoming:
                return await self.admit(read_publish(fields, self._arguments))
            case "opening":
                return self.accept()  # who may watch is not the gate's business
            case "closing":
                if incoming:
                    await self._follower.ended(read_publish(fields, self._arguments))
                return JSONResponse({})
        raise InvalidInput("request.status", "must be 'opening' or 'closing'")

    def accept(self) -> Response:
        return JSONResponse({"allowed": True})

    def refuse(self, status: int, why: str) -> Response:
        # A refusal is an answer of status 200. Only a wrong call gets another status.
        status = 200 if status in {403, 503} else status
        return JSONResponse({"allowed": False, "reason": why}, status_code=status)

    def _signed(self, request: Request, body: bytes) -> str:
        if not self._secret_key:
            return ""
        given = request.headers.get("x-ome-signature", "").rstrip("=")
        expected = signature_of(self._secret_key, body)
        if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
            raise Unauthenticated("x-ome-signature", "missing or wrong")
        return expected


def read_publish(fields: Mapping[str, Any], arguments: PublishArguments) -> Publish:
    """The publish that a body speaks of. Raises InvalidInput or LimitExceeded with the field.

    A closing carries ``new_url`` where the stream was renamed. The stream then has that name.
    """
    client, asked = _object(fields, "client"), _object(fields, "request")
    try:
        url = urlsplit(text_of(asked, "new_url") or text_of(asked, "url"))
    except ValueError:
        raise InvalidInput("url", "is not a URL") from None
    segments = url.path.split("/")
    if len(segments) < 3:
        raise InvalidInput("url", "must have an app and a stream in its path")
    app = plain({"url": segments[1]}, "url", MAX_APP)
    name = stream_name({"url": segments[2]}, "url")
    query = parse_query(url.query)
    return arguments.publish(
        query,
        server=SERVER,
        connection=_peer(client),
        app=app,
        name=name,
        address=address_of(text_of(client, "real_ip", 128)) or address_of(text_of(client, "address", 128)),
    )


def time_of(asked: Mapping[str, Any]) -> int:
    """``request.time``, ISO 8601 with an offset, as wall milliseconds. Raises InvalidInput."""
    try:
        at = datetime.fromisoformat(text_of(asked, "time", 64))
        if at.tzinfo is None:
            raise ValueError
        return int(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidInput("request.time", "must be an ISO 8601 time with its offset") from None


def _peer(client: Mapping[str, Any]) -> str:
    port = client.get("port")
    try:
        address = ipaddress.ip_address(text_of(client, "address", 64))
    except ValueError:
        raise InvalidInput("client.address", "must be an IP address") from None
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise InvalidInput("client.port", "must be a number from 1 to 65535")
    return f"{address}:{port}"


def _object(fields: Mapping[str, Any], field: str) -> dict[str, Any]:
    value = fields.get(field)
    if not isinstance(value, dict):
        raise InvalidInput(field, "must be an object")
    return value


def new_url(request: Request) -> str:
    """The ``new_url`` that the platform's own hook gives a stream; empty: it keeps its own."""
    upstream = upstream_answer(request)
    value = None if upstream is None else answer_object(upstream).get("new_url")
    return value if isinstance(value, str) else ""
