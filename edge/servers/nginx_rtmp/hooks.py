"""The hooks of nginx-rtmp: ``on_publish`` waits for the pull, ``on_publish_done`` tells the end.

POST /hooks/nginx-rtmp/on_publish       200 empty: go live; 403: refused; 503: not now; 4xx: bad call
POST /hooks/nginx-rtmp/on_publish_done  200 empty
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.background import BackgroundTasks
from edge.domain import Publish, StreamId, pull_token
from edge.errors import CapacityExceeded, GateError
from edge.notices.notice import notice
from edge.reasons import ServerNotice
from edge.servers.dialect import Dialect, refuse_with_text
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_body import parse_form
from edge.servers.hook_http import hook_route, refusal_status, words
from edge.servers.nginx_rtmp.connector import NginxRtmpConnector
from edge.servers.nginx_rtmp.publish import read_connection, read_publish
from edge.servers.nginx_rtmp.pull_placement import LOOKS, find_place
from edge.servers.nginx_rtmp.roll_call import RollCall, publishes
from edge.servers.nginx_rtmp.settings import SERVER, NginxRtmpSection
from edge.servers.nginx_rtmp.stat_page import Stat
from edge.servers.nginx_rtmp.worker_processes import worker_count
from edge.servers.publish_arguments import PublishArguments
from edge.servers.upstream_hook import upstream_answer
from edge.telemetry.records import ServerNoticed

ON_PUBLISH: Final = f"/hooks/{SERVER}/on_publish"
ON_PUBLISH_DONE: Final = f"/hooks/{SERVER}/on_publish_done"

_POLL_S = 0.01
_RESUME_S = 1.0
_LOOKS_AT_END_S = (0.0, 0.05, 0.2)
# nginx-rtmp waits for the socket to close, whatever length the answer has.
_CLOSE = {"Connection": "close"}
_ONLY_FORMS = "content-type: must be application/x-www-form-urlencoded (notify_method post)"
_ONE_PUBLISH = "clientid: a connection has one publish; connect anew for another"


DIALECT: Final = Dialect(
    asks=lambda path, body: path == ON_PUBLISH,
    accepts=lambda response: (
        response.status_code // 100 == 2
        or (response.status_code // 100 == 3 and "location" in response.headers)
    ),
    refuse=refuse_with_text(503),
    publish=lambda body, arguments: read_publish(parse_form(body), arguments),
)


class NginxRtmpHooks:
    """Admits publishers, starts their pulls before they are live, and hears or sees their ends."""

    server = SERVER

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        connector: NginxRtmpConnector,
        settings: NginxRtmpSection,
        secret: str | None,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._settings = settings
        self._secret = secret
        self._arguments = PublishArguments.of(settings)
        self._stat = connector.stat_page
        self._roll = RollCall(gatekeeper, self._stat)
        self._tasks = BackgroundTasks()
        self._asking: dict[str, bool] = {}
        """Connections whose publish waits for its answer; False: it cannot be let in any more."""

    def routes(self) -> list[Route]:
        return [
            hook_route(ON_PUBLISH, self._secret, self.on_publish, self.refuse),
            hook_route(ON_PUBLISH_DONE, self._secret, self.on_publish_done, self.refuse),
        ]

    def resume(self, stream_id: StreamId, publish: Publish) -> None:
        self._tasks.keep(partial(self._resume, stream_id, publish), needed=False)

    async def aclose(self) -> None:
        await self._tasks.aclose()
        await self._roll.aclose()

    async def on_publish(self, request: Request, body: bytes) -> Response:
        """Admit, start the pull, wait until it is connected, and only then let the publisher start.

        A publish that cannot be watched gets 503, and its encoder tries again. A connection may publish once:
        nginx would ask the hook for a second publish, and go on with the media of the first.
        """
        if not _is_form(request):
            return self.refuse(415, _ONLY_FORMS)
        fields = parse_form(body)
        if name := new_name(request):
            fields["name"] = name
        publish = read_publish(fields, self._arguments)
        connection = publish.connection
        if connection in self._asking:
            self._gatekeeper.turned_away(publish, "second_publish", "its connection asks for several at once")
            self._asking[connection] = False
            return self.refuse(403, _ONE_PUBLISH)
        self._asking[connection] = True
        try:
            return await self._answer(publish)
        finally:
            del self._asking[connection]

    async def _answer(self, publish: Publish) -> Response:
        running, stat = await publishes(self._stat, publish.connection)
        if running:
            # nginx drops a refused connection, and with it what it publishes.
            self._gatekeeper.turned_away(publish, "second_publish", "its connection publishes already")
            return self.refuse(403, _ONE_PUBLISH)
        admission = await self._gatekeeper.admit(publish)
        if not admission.allowed or admission.stream_id is None:
            return self.refuse(refusal_status(admission.reason), words(admission.notice))
        several = _has_several_workers(stat)
        try:
            await self._watch(admission.stream_id, publish, wait=not several)
        except GateError as error:
            self._gatekeeper.turned_away(publish, error.reason, f"it cannot be watched: {error}")
            await self._ended(publish)
            return self.refuse(503, words(notice(CapacityExceeded.reason)))
        admitted = await self._gatekeeper.still_admitted(admission.stream_id)
        if not (admitted and self._asking[publish.connection]):
            # A block, a second publish or the end came in between. nginx cannot drop a connection that does
            # not publish yet, so it is refused.
            self._gatekeeper.turned_away(publish, "cut")
            await self._ended(publish)
            return self.refuse(403, words(notice("cut")))
        self._roll.add_stream(admission.stream_id, publish)
        if several:
            place = partial(find_place, self._gatekeeper, self._stat, admission.stream_id, publish)
            self._tasks.keep(place, needed=False)
        return Response(status_code=200, headers=_CLOSE)

    async def on_publish_done(self, request: Request, body: bytes) -> Response:
        if not _is_form(request):
            return self.refuse(415, _ONLY_FORMS)
        app, name, connection = read_connection(parse_form(body), "publish_done")
        if await self._still_publishes(connection):
            self._gatekeeper.noticed(ServerNoticed(SERVER, app, "", ServerNotice.END_DOUBTED))
        else:
            if connection in self._asking:
                self._asking[connection] = False
            self._roll.remove(connection)
            await self._gatekeeper.publish_ended(SERVER, connection, app, name)
        return Response(status_code=200, headers=_CLOSE)

    async def _still_publishes(self, connection: str) -> bool:
        """Whether nginx itself says so at each of several looks.

        Then somebody replays the end of an earlier connection of that number, so that this one goes on
        unwatched.
        """
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
                    self._roll.add_stream(stream_id, publish)
                    if _has_several_workers(await self._stat.read()):
                        await find_place(self._gatekeeper, self._stat, stream_id, publish)
                    return
                except GateError as error:
                    self._notice(stream_id, publish, ServerNotice.RESUMING, str(error))
            await asyncio.sleep(_RESUME_S)

    async def _publishes(self, publish: Publish) -> bool | None:
        """Whether that connection still publishes, or may do so; None: nginx does not answer."""
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

    def refuse(self, status: int, why: str) -> Response:
        """nginx drops the connection of a publish that is answered so."""
        return PlainTextResponse(f"{why}\n", status_code=status, headers=_CLOSE)

    async def _watch(self, stream_id: StreamId, publish: Publish, *, wait: bool) -> None:
        """Start the pull, and ``wait`` until nginx shows it."""
        await self._gatekeeper.attach(stream_id, self._pull_url(publish))
        mark = pull_token(stream_id)
        deadline = time.monotonic() + self._settings.pull_wait_ms / 1000
        while wait and time.monotonic() < deadline:
            stat = await self._stat.read()
            if stat is not None and stat.players(publish.app, publish.name, mark):
                return
            await asyncio.sleep(_POLL_S)
        if wait:
            self._notice(stream_id, publish, ServerNotice.PULL_LATE)

    def _notice(self, stream_id: StreamId, publish: Publish, what: ServerNotice, detail: str = "") -> None:
        self._gatekeeper.noticed(ServerNoticed(SERVER, publish.app, stream_id, what, detail))

    def _pull_url(self, publish: Publish) -> str:
        # Names hold only characters that stand for themselves in a URL, see hook_body.plain.
        return self._settings.pull_url.replace("{app}", publish.app).replace("{name}", publish.name)


def _has_several_workers(stat: Stat | None) -> bool:
    """Whether this nginx, on this machine, has more than one worker; False where one cannot know."""
    return stat is not None and (worker_count(stat.pid) or 1) > 1


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


def new_name(request: Request) -> str:
    """The name that a 3xx of the platform's own hook gives a stream; empty: it keeps its own.

    A ``Location`` with a scheme relays the stream elsewhere, and leaves its name alone.
    """
    upstream = upstream_answer(request)
    location = "" if upstream is None else upstream.headers.get("location", "")
    return "" if "://" in location else quote(location, safe="~")
