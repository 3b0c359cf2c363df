"""The hooks as a Starlette app.

POST /hooks/nginx-rtmp/on_publish       200 empty: go live; 403: refused; 503: not now; 4xx: bad call
POST /hooks/nginx-rtmp/on_publish_done  200 empty
GET  /healthz                           200
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Iterable

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.domain import Publish, StreamId
from edge.enforce.connectors.nginx_stat import StatPage
from edge.enforce.notices import Notice, notice
from edge.errors import CapacityExceeded, GateError, InvalidInput, LimitExceeded
from edge.hooks import fields as read
from edge.hooks import nginx_rtmp
from edge.hooks.chain import DIALECTS, Chain, ChainedHooks, new_name
from edge.hooks.gatekeeper import Gatekeeper
from edge.hooks.json_hooks import ServerHooks
from edge.hooks.settings import HookSettings

_POLL_S = 0.01
# nginx-rtmp waits for the socket to close, whatever length the answer has.
_CLOSE = {"Connection": "close"}

log = structlog.get_logger(__name__)


def create_app(
    gatekeeper: Gatekeeper, settings: HookSettings, servers: Iterable[ServerHooks] = ()
) -> Starlette:
    """The app of nginx-rtmp's hooks and those of ``servers``; it needs no lifespan."""
    nginx: ServerHooks = _NginxRtmpHooks(gatekeeper, settings)
    if settings.upstream is not None:
        chain = Chain(settings.upstream, DIALECTS[nginx_rtmp.SERVER], settings.secret)
        nginx = ChainedHooks(nginx, chain)
    return Starlette(
        routes=[
            *nginx.routes(),
            Route("/healthz", _healthz, methods=["GET"]),
            *(route for server in servers for route in server.routes()),
        ]
    )


async def _healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


class _NginxRtmpHooks:
    def __init__(self, gatekeeper: Gatekeeper, settings: HookSettings) -> None:
        self._gatekeeper = gatekeeper
        self._settings = settings
        self._stat = StatPage(settings.stat_url)

    def routes(self) -> list[Route]:
        return [
            Route("/hooks/nginx-rtmp/on_publish", self.on_publish, methods=["POST"]),
            Route("/hooks/nginx-rtmp/on_publish_done", self.on_publish_done, methods=["POST"]),
        ]

    async def on_publish(self, request: Request) -> Response:
        """Admit, start the pull, wait until it is connected, and only then let the publisher start.

        A publish that cannot be watched is not let in: 503, and the encoder comes back.
        """
        fields = await self._fields(request)
        if isinstance(fields, Response):
            return fields
        if name := new_name(request):
            fields["name"] = name
        try:
            publish = nginx_rtmp.read_publish(fields, self._settings.broadcaster_argument)
        except InvalidInput as error:
            return _bad(error)
        admission = await self._gatekeeper.admit(publish)
        if not admission.allowed or admission.stream_id is None:
            log.info("publish refused", reason=admission.reason, app=publish.app)
            busy = admission.reason in {"capacity", "draining"}
            return _refusal(503 if busy else 403, admission.notice)
        try:
            await self._watch(admission.stream_id, publish)
        except GateError as error:
            log.warning("publish refused: it cannot be watched", reason=error.reason, error=str(error))
            await self._ended(publish)
            return _refusal(503, notice(CapacityExceeded.reason))
        if not await self._gatekeeper.still_admitted(admission.stream_id):
            # A block came in between. nginx cannot drop what does not publish yet, but refuse it.
            log.info("publish refused", reason="cut", app=publish.app)
            await self._ended(publish)
            return _refusal(403, notice("cut"))
        return Response(status_code=200, headers=_CLOSE)

    async def on_publish_done(self, request: Request) -> Response:
        fields = await self._fields(request)
        if isinstance(fields, Response):
            return fields
        try:
            app, name, connection = nginx_rtmp.read_connection(fields, "publish_done")
        except InvalidInput as error:
            return _bad(error)
        await self._gatekeeper.publish_ended(nginx_rtmp.SERVER, connection, app, name)
        return Response(status_code=200, headers=_CLOSE)

    async def _ended(self, publish: Publish) -> None:
        await self._gatekeeper.publish_ended(publish.server, publish.connection, publish.app, publish.name)

    async def _fields(self, request: Request) -> dict[str, str] | Response:
        if not self._settings.enabled:
            return _text(404, "nginx-rtmp is not configured: [nginx_rtmp] in the settings")
        if not self._authentic(request):
            return _text(401, "secret: missing or wrong")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return _text(415, "content-type: must be application/x-www-form-urlencoded (notify_method post)")
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > read.MAX_BODY_BYTES:
                    break
            return read.parse_form(bytes(body))
        except ClientDisconnect:
            return _text(400, "body: the connection ended inside it")
        except InvalidInput as error:
            return _bad(error)

    def _authentic(self, request: Request) -> bool:
        secret = self._settings.secret
        if secret is None:
            return True
        return hmac.compare_digest(request.query_params.get("secret", "").encode(), secret.encode())

    async def _watch(self, stream_id: StreamId, publish: Publish) -> None:
        before = await self._players(publish)
        # Names hold only characters that stand for themselves in a URL, see fields.plain.
        url = self._settings.pull_url.replace("{app}", publish.app).replace("{name}", publish.name)
        await self._gatekeeper.attach(stream_id, url)
        deadline = time.monotonic() + self._settings.pull_wait_ms / 1000
        while time.monotonic() < deadline:
            if await self._players(publish) - before:
                return
            await asyncio.sleep(_POLL_S)
        log.warning("the pull is not connected yet, first frames may be missed", stream_id=stream_id)

    async def _players(self, publish: Publish) -> frozenset[str]:
        stat = await self._stat.read()
        return frozenset() if stat is None else stat.players(publish.app, publish.name)


def _text(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status, headers=_CLOSE)


def _bad(error: InvalidInput) -> Response:
    return _text(413 if isinstance(error, LimitExceeded) and error.field == "body" else 400, str(error))


def _refusal(status: int, message: Notice | None) -> Response:
    return _text(status, "" if message is None else f"{message.en}\n{message.ar}")
