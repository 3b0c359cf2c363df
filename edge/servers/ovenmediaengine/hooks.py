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
from typing import Any
from urllib.parse import urlsplit

from cachetools import FIFOCache
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.clock import Clock, SystemClock
from edge.domain import Publish
from edge.errors import InvalidInput, Unauthenticated
from edge.servers.followed_hooks import FollowedHooks
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import MAX_APP, address_of, parse_object, parse_query, plain, stream_name, text_of
from edge.servers.hook_http import ServerHookSettings, bounded_body, check_secret, status_of, words
from edge.servers.ovenmediaengine.connector import OvenMediaEngineConnector
from edge.servers.publish_arguments import PublishArguments
from edge.servers.upstream_hook import new_url

SERVER = "ovenmediaengine"
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


class OvenMediaEngineHooks(FollowedHooks):
    """Admits publishers, lets players in, and follows to the end.

    ``secret_key``: of ``<AdmissionWebhooks>``; empty: bodies are not signed, and replays pass.
    """

    server = SERVER

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        connector: OvenMediaEngineConnector,
        settings: ServerHookSettings,
        secret_key: str,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(gatekeeper, connector, settings)
        self._secret_key = secret_key
        self._clock = clock or SystemClock()
        self._replays = Replays()

    def routes(self) -> list[Route]:
        return [Route(f"/hooks/{SERVER}", self.admission, methods=["POST"])]

    async def admission(self, request: Request) -> Response:
        try:
            check_secret(request, self._settings.secret)
            body = await bounded_body(request)
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
                    admission = await self._follower.admit(read_publish(fields, self._settings.arguments))
                    return _answer(admission.allowed, words(admission.notice))
                case "opening":
                    return _answer(True)  # who may watch is not the gate's business
                case "closing":
                    if incoming:
                        publish = read_publish(fields, self._settings.arguments)
                        await self._follower.ended(publish)
                    return JSONResponse({})
            raise InvalidInput("request.status", "must be 'opening' or 'closing'")
        except InvalidInput as error:
            return JSONResponse({"allowed": False, "reason": str(error)}, status_code=status_of(error))

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

    ``new_url`` comes with a closing where somebody renamed the stream; the stream has that name then.
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


def _answer(allowed: bool, reason: str = "") -> Response:
    return JSONResponse({"allowed": allowed, "reason": reason} if reason else {"allowed": allowed})
