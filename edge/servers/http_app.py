"""The hooks as a Starlette app, and ``GET /healthz`` and ``GET /readyz``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.domain import Publish, StreamId
from edge.servers.hook_http import ServerHooks
from edge.servers.kind import AnyKind
from edge.servers.registry import kinds


def create_app(
    servers: Iterable[ServerHooks],
    resumed: Iterable[tuple[StreamId, Publish]] = (),
    health: Callable[[], Iterable[str]] = tuple,
    unready: Callable[[], Iterable[str]] = tuple,
    may_know: Callable[[Request], bool] = lambda request: True,
) -> Starlette:
    """The hooks of ``servers``, ``/healthz`` and ``/readyz``. The app needs no lifespan.

    The hooks of a kind that is not among them answer 404 and name the section that is missing. ``resumed``:
    streams that an earlier gate had let in. They are watched again. ``health`` yields what is not as it
    should be, a line each, and ``/healthz`` shows it below its ``ok``. ``unready`` yields why nothing more
    should be sent here, and ``/readyz`` answers 503 with it. Both show that to those who ``may_know`` alone:
    others learn only whether the gate is up and ready.
    """

    async def healthz(request: Request) -> Response:
        return _lines(("ok", *(health() if may_know(request) else ())), 200)

    async def readyz(request: Request) -> Response:
        why = tuple(unready())
        if not why:
            return _lines(("ready",), 200)
        return _lines(why if may_know(request) else ("not ready",), 503)

    installed = {hooks.server: hooks for hooks in servers}
    for stream_id, publish in resumed:
        if hooks := installed.get(publish.server):
            hooks.resume(stream_id, publish)
    routes = [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]
    for hooks in installed.values():
        routes += hooks.routes()
    for kind in kinds():
        if kind.name not in installed:
            routes += _not_configured(kind)
    return Starlette(routes=routes)


def _lines(lines: Iterable[str], status: int) -> Response:
    return PlainTextResponse("".join(f"{line}\n" for line in lines), status)


def _not_configured(kind: AnyKind) -> Iterator[Route]:
    text = f"{kind.name} is not configured: [{kind.section}] in the settings\n"

    async def answer(request: Request) -> Response:
        return PlainTextResponse(text, 404, {"Connection": "close"})

    for path in (f"/hooks/{kind.name}", f"/hooks/{kind.name}/{{rest:path}}"):
        yield Route(path, answer, methods=["POST"])
