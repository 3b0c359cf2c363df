"""The hooks as a Starlette app: those of every installed server, and ``GET /healthz``."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.domain import Publish, StreamId
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_http import ServerHooks
from edge.servers.nginx_rtmp.hook_settings import HookSettings
from edge.servers.nginx_rtmp.hooks import NginxRtmpHooks
from edge.servers.upstream_hook import DIALECTS, Chain, ChainedHooks


def create_app(
    gatekeeper: Gatekeeper,
    settings: HookSettings,
    servers: Iterable[ServerHooks] = (),
    carried: Iterable[tuple[StreamId, Publish]] = (),
) -> Starlette:
    """The app of nginx-rtmp's hooks and those of ``servers``; it needs no lifespan.

    ``carried``: streams that an earlier gate had let in, to be watched again.
    """
    nginx: ServerHooks = NginxRtmpHooks(gatekeeper, settings)
    if settings.upstream is not None:
        chain = Chain(settings.upstream, DIALECTS[NginxRtmpHooks.server], settings.secret)
        nginx = ChainedHooks(nginx, chain)
    every = {hooks.server: hooks for hooks in (nginx, *servers)}
    for stream_id, publish in carried:
        if hooks := every.get(publish.server):
            hooks.resume(stream_id, publish)
    return Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            *(route for hooks in every.values() for route in hooks.routes()),
        ]
    )


async def _healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")
