"""A hook of the gate in front of the hook that the platform already has.

The platform is asked first, with the body as the ingest server sent it. If it refuses, the server gets its
answer, and the gate is not asked. If both let the publish in, the server also gets the platform's answer, so
that a redirect or a new name reaches it. Both are told the end of a publish.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from edge.domain import Publish, StreamId
from edge.errors import InvalidInput
from edge.servers.dialect import Dialect
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import MAX_BODY_BYTES
from edge.servers.hook_http import ServerHooks, bounded_body, check_secret
from edge.servers.publish_arguments import PublishArguments
from edge.servers.settings import ServerSection

MAX_ANSWER_BYTES = 64 * 1024
_FORWARDED = ("content-type", "x-ome-signature", "user-agent")
_RETURNED = ("content-type", "location")

log = structlog.get_logger(__name__)
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The platform's own hook. ``allow_on_failure``: whether its absence lets a publish in."""

    url: str = field(repr=False)
    timeout_s: float = 2.0
    allow_on_failure: bool = False

    @classmethod
    def of(cls, section: ServerSection) -> Upstream | None:
        """The upstream hook that the section names. None if it names none."""
        if not section.upstream_url:
            return None
        return cls(
            section.upstream_url, section.upstream_timeout_ms / 1000, section.upstream_failure == "allow"
        )


class Chain:
    """Puts the platform's hook before the gate's. ``secret``: that the gate's hook must carry.

    ``gatekeeper`` learns whom the platform refuses. ``arguments``: those of a publish URL that count.
    """

    def __init__(
        self,
        upstream: Upstream,
        dialect: Dialect,
        secret: str | None,
        gatekeeper: Gatekeeper,
        arguments: PublishArguments,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._upstream = upstream
        self._dialect = dialect
        self._secret = secret
        self._gatekeeper = gatekeeper
        self._arguments = arguments
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
            # The gate refuses it in the server's dialect. The platform is not asked.
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
                self._turned_away(body, "the platform does not answer")
                return self._dialect.refuse("the platform does not answer")
            return await gate(_replayed(request, body))
        if not self._dialect.accepts(theirs):
            self._turned_away(body, f"the platform answers {theirs.status_code}")
            return theirs
        ours = await gate(_replayed(request, body, theirs))
        return theirs if self._dialect.accepts(ours) else ours

    def _turned_away(self, body: bytes, detail: str) -> None:
        """Reports a publish that never reached the gate."""
        with contextlib.suppress(InvalidInput):  # What nobody can read is no publish.
            self._gatekeeper.turned_away(self._dialect.publish(body, self._arguments), "upstream", detail)

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


def upstream_answer(request: Request) -> Response | None:
    """What the platform's own hook has answered to this call; None where none was asked, or none answered."""
    answer: Response | None = getattr(request.state, "upstream", None)
    return answer


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

    async def aclose(self) -> None:
        await self._hooks.aclose()
        await self._chain.aclose()
