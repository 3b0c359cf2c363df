"""From admission to the end of a publish, at servers whose state API names the publisher.

A hook only says what somebody asked for. Media is pulled by name, so before a pull starts the
server itself must say that this very connection publishes under that name: else a second publisher
of a running name would answer for the first one's pictures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog

from edge.domain import Publish, StreamId
from edge.enforce.connectors.base import Connector, CutTarget
from edge.enforce.cutting import retry_delay_ms
from edge.errors import GateError, NotFound
from edge.hooks.gatekeeper import Admission, Gatekeeper

_LOOK_S = 0.02
_MAX_LOOK_S = 0.5
_EXPEL_ATTEMPTS = 12
_GONE_LOOKS = 2
_REMEMBERED = 4096

log = structlog.get_logger(__name__)


class Follower:
    """Starts the pull when the publish is live, and tells the gate when it has ended.

    ``publishing``: whether that connection is the one that publishes under the name; ``is_live`` of
    the connector unless the server knows connections that do not publish. Lives in one event loop.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        connector: Connector,
        pull_url: str,
        publishing: Callable[[CutTarget], Awaitable[bool | None]] | None = None,
        *,
        start_s: float = 10.0,
        poll_s: float = 2.0,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._connector = connector
        self._pull_url = pull_url
        self._publishing = publishing or connector.is_live
        self._start_s = start_s
        self._poll_s = poll_s
        self._followed: dict[StreamId, asyncio.Task[None]] = {}
        self._expelled: set[asyncio.Task[None]] = set()
        self._places: OrderedDict[tuple[str, str], str] = OrderedDict()
        """App and name to the connection that was last seen publishing there."""

    async def admit(self, publish: Publish) -> Admission:
        """Ask the gate, and follow what it lets in."""
        admission = await self._gatekeeper.admit(publish)
        if admission.allowed and admission.stream_id is not None:
            self.follow(admission.stream_id, publish)
        else:
            log.info("publish refused", server=publish.server, reason=admission.reason, app=publish.app)
        return admission

    async def ended(self, publish: Publish) -> None:
        """A hook says that the publish is over: so it is, unless the server's state says otherwise."""
        if await self._publishing(cut_target(StreamId(""), publish)) is not True:
            await self._ended(publish)

    def follow(self, stream_id: StreamId, publish: Publish) -> None:
        """Pull the admitted stream once it is live, in the background. Once for a stream."""
        if stream_id in self._followed:
            return
        task = asyncio.get_running_loop().create_task(self._follow(stream_id, publish))
        self._followed[stream_id] = task
        task.add_done_callback(lambda _: self._followed.pop(stream_id, None))

    def expel(self, publish: Publish) -> None:
        """Cut a publisher that was refused, until the server says that it is gone; in the background."""
        task = asyncio.get_running_loop().create_task(self._expel(publish))
        self._expelled.add(task)
        task.add_done_callback(self._expelled.discard)

    async def aclose(self) -> None:
        tasks = [*self._followed.values(), *self._expelled]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, stream_id: StreamId, publish: Publish) -> None:
        target = cut_target(stream_id, publish)
        live = await self._starts(target)
        if live is False:
            log.info("an admitted publish did not start", stream_id=stream_id, server=publish.server)
            await self._ended(publish)
            return
        if live is None:
            log.warning("the server's state is not known, watching by name", stream_id=stream_id)
        await self._take_place(publish)
        if not await self._gatekeeper.still_admitted(stream_id):
            # Cut before it was live: the cut may have found nothing, and ended.
            await self._expel(publish)
            return
        try:
            await self._gatekeeper.attach(stream_id, self._url(publish))
        except NotFound:
            return  # it ended meanwhile
        except GateError as error:
            log.warning("a publish that cannot be watched is cut", reason=error.reason, error=str(error))
            await self._ended(publish)
            await self._expel(publish)
            return
        await self._until_gone(stream_id, publish, target)

    def _url(self, publish: Publish) -> str:
        # Names hold only characters that stand for themselves in a URL, see fields.plain.
        path = f"{publish.app}/{publish.name}".removeprefix("/")
        url = self._pull_url.replace("{path}", path)
        return url.replace("{app}", publish.app).replace("{name}", publish.name)

    async def _starts(self, target: CutTarget) -> bool | None:
        deadline = time.monotonic() + self._start_s
        pause_s = _LOOK_S
        while True:
            live = await self._publishing(target)
            if live or time.monotonic() >= deadline:
                return live
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_LOOK_S)

    async def _until_gone(self, stream_id: StreamId, publish: Publish, target: CutTarget) -> None:
        """Not every server says when a publish ends, and none repeats what got lost."""
        absent = 0
        while absent < _GONE_LOOKS:
            await asyncio.sleep(self._poll_s)
            if not await self._gatekeeper.still_admitted(stream_id):
                return
            absent = absent + 1 if await self._publishing(target) is False else 0
        await self._ended(publish)

    async def _take_place(self, publish: Publish) -> None:
        """Whoever published under this name before has gone, or this one could not publish."""
        place = (publish.app, publish.name)
        before = self._places.pop(place, publish.connection)
        self._places[place] = publish.connection
        if len(self._places) > _REMEMBERED:
            self._places.popitem(last=False)
        if before != publish.connection:
            await self._gatekeeper.publish_ended(publish.server, before, publish.app, publish.name)

    async def _ended(self, publish: Publish) -> None:
        await self._gatekeeper.publish_ended(publish.server, publish.connection, publish.app, publish.name)

    async def _expel(self, publish: Publish) -> None:
        target = cut_target(StreamId(""), publish)
        for attempt in range(1, _EXPEL_ATTEMPTS + 1):
            await self._connector.cut(target)
            if await self._connector.is_live(target) is False:
                return
            await asyncio.sleep(retry_delay_ms(attempt, random.random()) / 1000)
        log.error("a refused publisher is still connected", server=publish.server, app=publish.app)


def cut_target(stream_id: StreamId, publish: Publish) -> CutTarget:
    """The connection of a publish as a connector is asked about it."""
    return CutTarget(stream_id, publish.app, publish.name, publish.connection, publish.address)
