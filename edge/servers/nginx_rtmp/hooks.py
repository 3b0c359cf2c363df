"""The hooks of nginx-rtmp: ``on_publish`` waits for the pull, ``on_publish_done`` tells the end.

POST /hooks/nginx-rtmp/on_publish       200 empty: go live; 403: refused; 503: not now; 4xx: bad call
POST /hooks/nginx-rtmp/on_publish_done  200 empty
"""

from __future__ import annotations

import asyncio
import hmac
import time

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.background import BackgroundTasks
from edge.domain import Publish, StreamId, pull_mark
from edge.errors import CapacityExceeded, GateError, InvalidInput, LimitExceeded
from edge.notices.notice import Notice, notice
from edge.servers import hook_body as read
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_http import NOT_NOW
from edge.servers.nginx_rtmp.hook_settings import HookSettings
from edge.servers.nginx_rtmp.publish import SERVER, read_connection, read_publish
from edge.servers.nginx_rtmp.pull_placement import LOOKS, find_place
from edge.servers.nginx_rtmp.roll_call import RollCall, publishes
from edge.servers.nginx_rtmp.stat_page import Stat, StatPage
from edge.servers.nginx_rtmp.worker_processes import worker_count
from edge.servers.upstream_hook import new_name

_POLL_S = 0.01
_RESUME_S = 1.0
_LOOKS_AT_END_S = (0.0, 0.05, 0.2)
# nginx-rtmp waits for the socket to close, whatever length the answer has.
_CLOSE = {"Connection": "close"}
_ONE_PUBLISH = "clientid: a connection has one publish; connect anew for another"

log = structlog.get_logger(__name__)


class NginxRtmpHooks:
    server = SERVER

    def __init__(self, gatekeeper: Gatekeeper, settings: HookSettings) -> None:
        self._gatekeeper = gatekeeper
        self._settings = settings
        self._stat = StatPage(settings.stat_url)
        self._roll = RollCall(gatekeeper, self._stat)
        self._tasks = BackgroundTasks()
        self._asking: dict[str, bool] = {}
        """Connections whose publish waits for its answer; False: it cannot be let in any more."""

    def routes(self) -> list[Route]:
        return [
            Route("/hooks/nginx-rtmp/on_publish", self.on_publish, methods=["POST"]),
            Route("/hooks/nginx-rtmp/on_publish_done", self.on_publish_done, methods=["POST"]),
        ]

    def resume(self, stream_id: StreamId, publish: Publish) -> None:
        self._tasks.start(self._resume(stream_id, publish))

    async def on_publish(self, request: Request) -> Response:
        """Admit, start the pull, wait until it is connected, and only then let the publisher start.

        A publish that cannot be watched is not let in: 503, and the encoder comes back. A connection has one
        publish: of a second nginx would ask the hook, and go on with the media of the first.
        """
        fields = await self._fields(request)
        if isinstance(fields, Response):
            return fields
        if name := new_name(request):
            fields["name"] = name
        try:
            publish = read_publish(fields, self._settings.arguments)
        except InvalidInput as error:
            return _bad(error)
        connection = publish.connection
        if connection in self._asking:
            self._gatekeeper.turned_away(publish, "second_publish", "its connection asks for several at once")
            self._asking[connection] = False
            return _text(403, _ONE_PUBLISH)
        self._asking[connection] = True
        try:
            return await self._answer(publish)
        finally:
            del self._asking[connection]

    async def _answer(self, publish: Publish) -> Response:
        running, stat = await publishes(self._stat, publish.connection)
        if running:
            # Refused, nginx drops the connection, and with it what it publishes.
            self._gatekeeper.turned_away(publish, "second_publish", "its connection publishes already")
            return _text(403, _ONE_PUBLISH)
        admission = await self._gatekeeper.admit(publish)
        if not admission.allowed or admission.stream_id is None:
            return _refusal(503 if admission.reason in NOT_NOW else 403, admission.notice)
        several = _has_several_workers(stat)
        try:
            await self._watch(admission.stream_id, publish, wait=not several)
        except GateError as error:
            self._gatekeeper.turned_away(publish, error.reason, f"it cannot be watched: {error}")
            await self._ended(publish)
            return _refusal(503, notice(CapacityExceeded.reason))
        admitted = await self._gatekeeper.still_admitted(admission.stream_id)
        if not (admitted and self._asking[publish.connection]):
            # A block, a second publish or the end came in between. nginx cannot drop what does not publish
            # yet, but refuse it.
            self._gatekeeper.turned_away(publish, "cut")
            await self._ended(publish)
            return _refusal(403, notice("cut"))
        self._roll.add(admission.stream_id, publish)
        if several:
            self._tasks.start(find_place(self._gatekeeper, self._stat, admission.stream_id, publish))
        return Response(status_code=200, headers=_CLOSE)

    async def on_publish_done(self, request: Request) -> Response:
        fields = await self._fields(request)
        if isinstance(fields, Response):
            return fields
        try:
            app, name, connection = read_connection(fields, "publish_done")
        except InvalidInput as error:
            return _bad(error)
        if await self._still_publishes(connection):
            log.warning("an end was not believed: the connection still publishes", app=app)
        else:
            if connection in self._asking:
                self._asking[connection] = False
            self._roll.remove(connection)
            await self._gatekeeper.publish_ended(SERVER, connection, app, name)
        return Response(status_code=200, headers=_CLOSE)

    async def _still_publishes(self, connection: str) -> bool:
        """Whether nginx itself says so, again and again: then somebody replays the end of an earlier
        connection of that number, to have this one go on unwatched."""
        for pause_s in _LOOKS_AT_END_S:
            await asyncio.sleep(pause_s)
            stat = await self._stat.read()
            if stat is None or stat.publishing(connection) is None:
                return False
        return True

    async def _resume(self, stream_id: StreamId, publish: Publish) -> None:
        while await self._gatekeeper.still_admitted(stream_id):
            live = await self._publishes(publish)
            if live is False:
                await self._ended(publish)
            elif live:
                try:
                    await self._gatekeeper.attach(stream_id, self._pull_url(publish))
                    self._roll.add(stream_id, publish)
                    if _has_several_workers(await self._stat.read()):
                        await find_place(self._gatekeeper, self._stat, stream_id, publish)
                    return
                except GateError as error:
                    log.warning("a stream of an earlier run waits to be watched", error=str(error))
            await asyncio.sleep(_RESUME_S)

    async def _publishes(self, publish: Publish) -> bool | None:
        """Whether that connection still publishes, as far as one can know; None: nginx does not answer."""
        for _ in range(LOOKS):
            stat = await self._stat.read()
            if stat is None:
                return None
            if stat.publishes(publish.app, publish.name, publish.connection):
                return True
            if worker_count(stat.pid) == 1:
                return False
        return True  # one of several workers may have it

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

    async def _watch(self, stream_id: StreamId, publish: Publish, *, wait: bool) -> None:
        """Start the pull, and ``wait`` until nginx shows it; with several workers there is nothing to wait
        for yet."""
        await self._gatekeeper.attach(stream_id, self._pull_url(publish))
        mark = pull_mark(stream_id)
        deadline = time.monotonic() + self._settings.pull_wait_ms / 1000
        while wait and time.monotonic() < deadline:
            stat = await self._stat.read()
            if stat is not None and stat.players(publish.app, publish.name, mark):
                return
            await asyncio.sleep(_POLL_S)
        if wait:
            log.warning("the pull is not connected yet, first frames may be missed", stream_id=stream_id)

    def _pull_url(self, publish: Publish) -> str:
        # Names hold only characters that stand for themselves in a URL, see fields.plain.
        return self._settings.pull_url.replace("{app}", publish.app).replace("{name}", publish.name)


def _has_several_workers(stat: Stat | None) -> bool:
    """Whether this nginx, on this machine, has more than one worker; False where one cannot know."""
    return stat is not None and (worker_count(stat.pid) or 1) > 1


def _text(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status, headers=_CLOSE)


def _bad(error: InvalidInput) -> Response:
    return _text(413 if isinstance(error, LimitExceeded) and error.field == "body" else 400, str(error))


def _refusal(status: int, message: Notice | None) -> Response:
    return _text(status, "" if message is None else f"{message.en}\n{message.ar}")
