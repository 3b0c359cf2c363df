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
    health: Callable[[Request], Iterable[str]] = lambda request: (),
    unready: Callable[[], Iterable[str]] = tuple,
) -> Starlette:
    """The hooks of ``servers``, ``/healthz`` and ``/readyz``. The app needs no lifespan.

    The hooks of a kind that is not among them answer 404 and name the section that is missing. ``resumed``:
    streams that an earlier gate had let in. They are watched again. ``health`` yields what is not as it
    should be to whoever asks, a line each, and ``/healthz`` shows it below its ``ok``. ``unready`` yields why
    nothing more should be sent here, and ``/readyz`` answers 503 with it.
    """

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("".join(f"{line}\n" for line in ("ok", *health(request))))

    async def readyz(request: Request) -> Response:
        why = tuple(unready())
        return PlainTextResponse("".join(f"{line}\n" for line in why or ("ready",)), 503 if why else 200)

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


def _not_configured(kind: AnyKind) -> Iterator[Route]:
    text = f"{kind.name} is not configured: [{kind.section}] in the settings\n"

    async def answer(request: Request) -> Response:
        return PlainTextResponse(text, 404, {"Connection": "close"})

    for path in (f"/hooks/{kind.name}", f"/hooks/{kind.name}/{{rest:path}}"):
        yield Route(path, answer, methods=["POST"])
