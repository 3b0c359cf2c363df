"""A hook of the gate in front of the hook that the platform already has.

The platform is asked first, with the body as the ingest server sent it. Who is refused there gets its
answer as it is, and the gate is not asked; who is let in by both gets it as well, so that a redirect or
a new name reaches the server. The end of a publish goes to both.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from edge.domain import Publish, StreamId
from edge.errors import InvalidInput
from edge.servers.hook_body import MAX_BODY_BYTES, parse_object
from edge.servers.hook_http import ServerHooks, bounded_body, check_secret

MAX_ANSWER_BYTES = 64 * 1024
_FORWARDED = ("content-type", "x-ome-signature", "user-agent")
_RETURNED = ("content-type", "location")

log = structlog.get_logger(__name__)
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The platform's own hook. ``allow_on_failure``: whether its absence lets a publish in."""

    url: str
    timeout_s: float = 2.0
    allow_on_failure: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of server understands an answer.

    ``asks``: whether a body waits for permission, by what it says; else it only tells.
    ``accepts``: whether an answer lets in. ``refuse``: an answer that does not. ``ours``: bodies that are
    the gate's business alone.
    """

    asks: Callable[[str, bytes], bool]
    accepts: Callable[[Response], bool]
    refuse: Callable[[str], Response]
    ours: Callable[[bytes], bool] = lambda body: False


class Chain:
    """Puts the platform's hook before the gate's. ``secret``: that the gate's hook must carry."""

    def __init__(
        self,
        upstream: Upstream,
        dialect: Dialect,
        secret: str | None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._upstream = upstream
        self._dialect = dialect
        self._secret = secret
        self._client = httpx.AsyncClient(timeout=upstream.timeout_s, trust_env=False, transport=transport)

    def route(self, route: Route) -> Route:
        """The same route with the platform asked first."""

        async def endpoint(request: Request) -> Response:
            return await self._both(request, route.endpoint)

        return Route(route.path, endpoint, methods=["POST"])

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _both(self, request: Request, gate: Endpoint) -> Response:
        try:
            check_secret(request, self._secret)
            body = await bounded_body(request)
        except InvalidInput:
            # The gate refuses it in the server's dialect; nobody else is bothered with it.
            return await gate(_replayed(request, b"\0" * (MAX_BODY_BYTES + 1)))
        if self._dialect.ours(body):
            return await gate(_replayed(request, body))
        theirs = await self._ask(request, body)
        if not self._dialect.asks(request.url.path, body):
            ours = await gate(_replayed(request, body))
            # What the gate refuses here is a body that it cannot read: it may have asked after all.
            return theirs if theirs is not None and self._dialect.accepts(ours) else ours
        if theirs is None:
            if not self._upstream.allow_on_failure:
                return self._dialect.refuse("the platform does not answer")
            return await gate(_replayed(request, body))
        if not self._dialect.accepts(theirs):
            log.info("publish refused", reason="upstream", status=theirs.status_code)
            return theirs
        ours = await gate(_replayed(request, body, theirs))
        return theirs if self._dialect.accepts(ours) else ours

    async def _ask(self, request: Request, body: bytes) -> Response | None:
        """The platform's answer; None when there is none that can be used."""
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        answer = bytearray()
        try:
            async with (
                asyncio.timeout(self._upstream.timeout_s),
                self._client.stream("POST", self._upstream.url, content=body, headers=headers) as response,
            ):
                async for chunk in response.aiter_bytes():
                    answer += chunk
                    if len(answer) > MAX_ANSWER_BYTES:
                        log.warning("the platform's hook answers too much", limit_bytes=MAX_ANSWER_BYTES)
                        return None
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("the platform's hook does not answer", error=type(error).__name__)
            return None
        returned = {name: response.headers[name] for name in _RETURNED if name in response.headers}
        # nginx-rtmp waits for the socket to close, whatever length the answer has.
        return Response(bytes(answer), response.status_code, {**returned, "connection": "close"})


def _replayed(request: Request, body: bytes, upstream: Response | None = None) -> Request:
    """The request once more, its body unread; ``state.upstream`` is what the platform answered."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    again = Request(dict(request.scope), receive)
    again.scope["state"] = {"upstream": upstream}
    return again


def new_name(request: Request) -> str:
    """The name that the platform's 3xx gives an nginx-rtmp stream; empty: it keeps its own.

    A ``Location`` with a scheme relays the stream elsewhere and leaves its name alone.
    """
    upstream: Response | None = getattr(request.state, "upstream", None)
    location = "" if upstream is None else upstream.headers.get("location", "")
    return "" if "://" in location else quote(location, safe="~")


def new_url(request: Request) -> str:
    """The ``new_url`` that the platform gives an OvenMediaEngine stream; empty: it keeps its own."""
    upstream: Response | None = getattr(request.state, "upstream", None)
    value = _json(upstream).get("new_url") if upstream is not None else None
    return value if isinstance(value, str) else ""


def _json(response: Response) -> dict[str, Any]:
    try:
        value = json.loads(bytes(response.body))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _field(body: bytes, *path: str) -> object:
    try:
        value: Any = parse_object(body)
    except InvalidInput:
        return None
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _code_0(response: Response) -> bool:
    text = bytes(response.body).strip()
    code = _json(response).get("code")
    return response.status_code in {200, 201} and (text == b"0" or (code == 0 and code is not False))


def _text(status: int) -> Callable[[str], Response]:
    return lambda why: PlainTextResponse(f"{why}\n", status, {"connection": "close"})


def _object(status: int, **fields: Any) -> Callable[[str], Response]:
    return lambda why: Response(
        json.dumps({**fields, "msg": why, "reason": why}), status, media_type="application/json"
    )


class ChainedHooks:
    """The hooks of one server with the platform's before them."""

    def __init__(self, hooks: ServerHooks, chain: Chain) -> None:
        self._hooks = hooks
        self._chain = chain

    @property
    def server(self) -> str:
        return self._hooks.server

    def routes(self) -> list[Route]:
        return [self._chain.route(route) for route in self._hooks.routes()]

    def resume(self, stream_id: StreamId, publish: Publish) -> None:
        self._hooks.resume(stream_id, publish)


DIALECTS = {
    "nginx-rtmp": Dialect(
        asks=lambda path, body: path.endswith("/on_publish"),
        accepts=lambda r: (
            r.status_code // 100 == 2 or (r.status_code // 100 == 3 and "location" in r.headers)
        ),
        refuse=_text(503),
    ),
    "node-media-server": Dialect(
        asks=lambda path, body: _field(body, "action") == "prePublish",
        accepts=lambda r: r.status_code == 200,
        refuse=_text(503),
    ),
    "srs": Dialect(
        asks=lambda path, body: _field(body, "action") == "on_publish",
        accepts=_code_0,
        refuse=_object(503, code=503),
    ),
    "mediamtx": Dialect(
        asks=lambda path, body: True,
        accepts=lambda r: r.status_code // 100 == 2,
        refuse=_text(503),
        # Calls of the server's API: the gate's own kicks must not hang on the platform.
        ours=lambda body: _field(body, "action") in {"api", "metrics", "pprof"},
    ),
    "ovenmediaengine": Dialect(
        asks=lambda path, body: _field(body, "request", "status") == "opening",
        accepts=lambda r: r.status_code == 200 and _json(r).get("allowed") is True,
        refuse=_object(200, allowed=False),
    ),
    "zlmediakit": Dialect(
        asks=lambda path, body: path.endswith("/on_publish"),
        accepts=lambda r: r.status_code == 200 and _code_0(r),
        refuse=_object(200, code=-1),
    ),
}
"""By the kind of server, as in ``Publish.server``."""
