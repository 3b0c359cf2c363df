"""Follows a publish from its admission to its end, at servers whose API names the publisher.

A hook tells what somebody asked for, not what happens. The gate pulls media by name. So before it pulls, the
server's API must say that this very connection publishes under that name. Otherwise a second publisher of a
running name would be blamed for the frames of the first. Whoever was let in and does not start to publish
is cut, because it could start when nobody looks any more.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial

from cachetools import FIFOCache

from edge.background import BackgroundTasks
from edge.backoff import backoff_ms
from edge.domain import Publish, StreamId
from edge.errors import GateError, NotFound
from edge.reasons import ServerNotice
from edge.servers.connector import FIRST_RETRY_MS, MAX_RETRY_MS, ApiConnector, CutTarget
from edge.servers.gatekeeper import Admission, Gatekeeper
from edge.telemetry.records import ServerNoticed

_LOOK_S = 0.02
_MAX_LOOK_S = 0.5
_EXPEL_ATTEMPTS = 12
_GONE_LOOKS = 2
_LATE_LOOK_S = 10.0
_REMEMBERED = 4096


class Follower:
    """Starts the pull when the publish is live, and tells the gate when it has ended.

    ``start_s``: how long a publish may take to start. ``poll_s``: the pause between looks whether it goes on.
    ``late_s``: how long it looks for a publish that did not start, and whose connection the server did not
    know. Lives in one event loop.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        connector: ApiConnector,
        pull_url: str,
        *,
        start_s: float = 10.0,
        poll_s: float = 2.0,
        late_s: float = 600.0,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._connector = connector
        self._pull_url = pull_url
        self._publishing = connector.publishes
        self._start_s = start_s
        self._poll_s = poll_s
        self._late_s = late_s
        self._following = BackgroundTasks()
        self._followed: dict[StreamId, asyncio.Task[None]] = {}
        self._let_in: dict[str, StreamId] = {}
        """Connection to the stream followed on it, the latest if there are several."""
        self._expelled = BackgroundTasks()
        self._places: FIFOCache[tuple[str, str], tuple[StreamId, Publish]] = FIFOCache(_REMEMBERED)
        """App and name to the stream last seen publishing there."""

    async def admit(self, publish: Publish) -> Admission:
        """Ask the gate, and follow what it lets in."""
        admission = await self._gatekeeper.admit(publish)
        if admission.allowed and admission.stream_id is not None:
            self.follow(admission.stream_id, publish)
        return admission

    async def ended(self, publish: Publish) -> None:
        """A hook says that the publish is over. It is believed unless the server's API says otherwise."""
        if await self._publishing(cut_target(StreamId(""), publish)) is not True:
            await self._gatekeeper.publish_ended(
                publish.server, publish.connection, publish.app, publish.name
            )

    def follow(self, stream_id: StreamId, publish: Publish, *, resumed: bool = False) -> None:
        """Pull the admitted stream once it is live, in the background. Once for a stream.

        ``resumed``: an earlier gate let it in, so it may be gone.
        """
        if stream_id in self._followed:
            return
        work = partial(self._follow, stream_id, publish, resumed)
        task = self._following.keep(work, needed=False)
        self._followed[stream_id] = task
        self._let_in[publish.connection] = stream_id
        task.add_done_callback(lambda _: self._followed_to_its_end(stream_id, publish))

    async def dismiss(self, stream_id: StreamId, publish: Publish) -> None:
        """The server says that an admitted connection does not publish. End its stream, and cut it."""
        await self._gone(stream_id, publish)
        self.expel(publish)

    def expel(self, publish: Publish) -> None:
        """Cut a publisher that was refused, until the server says that it is gone; in the background."""
        self._expelled.keep(partial(self._expel, publish), needed=False)

    async def aclose(self) -> None:
        await self._following.aclose()
        await self._expelled.aclose()

    def _followed_to_its_end(self, stream_id: StreamId, publish: Publish) -> None:
        self._followed.pop(stream_id, None)
        if self._is_the_last(stream_id, publish):
            del self._let_in[publish.connection]

    def _is_the_last(self, stream_id: StreamId, publish: Publish) -> bool:
        """Whether nothing was let in on its connection after it."""
        return self._let_in.get(publish.connection) == stream_id

    async def _follow(self, stream_id: StreamId, publish: Publish, resumed: bool) -> None:
        target = cut_target(stream_id, publish)
        live = await self._starts(target)
        if live is False:
            await self._not_started(stream_id, publish, target, resumed)
            return
        if live is None:
            self._notice(stream_id, publish, ServerNotice.STATE_UNKNOWN)
        else:
            await self._take_place(stream_id, publish)
        if not await self._gatekeeper.still_admitted(stream_id):
            # Cut before it was live: the cut may have found nothing, and ended.
            if self._is_the_last(stream_id, publish):
                await self._expel(publish)
            return
        try:
            await self._gatekeeper.attach(stream_id, self._url(publish))
        except NotFound:
            return  # it ended meanwhile
        except GateError as error:
            self._gatekeeper.turned_away(publish, error.reason, f"it cannot be watched and is cut: {error}")
            await self._gone(stream_id, publish)
            await self._expel(publish)
            return
        gone = await self._until_gone(stream_id, publish, target)
        if gone and live is None:
            await self._expel(publish)

    async def _not_started(
        self, stream_id: StreamId, publish: Publish, target: CutTarget, resumed: bool
    ) -> None:
        """Cut the connection, because nobody would watch media that comes now.

        A server may not know the connection yet, as OvenMediaEngine before there is media. Then the name is
        looked at for some more time.
        """
        self._notice(stream_id, publish, ServerNotice.NOT_STARTED)
        if not self._is_the_last(stream_id, publish):
            return
        expected = await self._gone(stream_id, publish)
        if await self._expel(publish) or resumed:
            return
        if expected and not await self._is_taken(publish):
            self._notice(stream_id, publish, ServerNotice.LOST)
        deadline = time.monotonic() + self._late_s
        while time.monotonic() < deadline and self._is_the_last(stream_id, publish):
            await asyncio.sleep(min(_LATE_LOOK_S, self._late_s))
            late = await self._publishing(target)
            if late and self._is_the_last(stream_id, publish):
                self._notice(stream_id, publish, ServerNotice.LATE)
                await self._expel(publish)
                return

    def _url(self, publish: Publish) -> str:
        # Names hold only characters that stand for themselves in a URL, see hook_body.plain.
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

    async def _until_gone(self, stream_id: StreamId, publish: Publish, target: CutTarget) -> bool:
        """Look until the publish is gone. False: the gate has ended it before.

        Not every server tells the end of a publish, and none tells it again when it got lost.
        """
        absent = 0
        while absent < _GONE_LOOKS:
            await asyncio.sleep(self._poll_s)
            if not await self._gatekeeper.still_admitted(stream_id):
                return False
            absent = absent + 1 if await self._publishing(target) is False else 0
        return self._is_the_last(stream_id, publish) and await self._gone(stream_id, publish)

    async def _take_place(self, stream_id: StreamId, publish: Publish) -> None:
        """Note who publishes under the name now. End the one before if the server says that it is gone."""
        place = (publish.app, publish.name)
        before = self._places.get(place)
        self._places[place] = stream_id, publish
        if before is None or not self._is_the_last(*before):
            return
        if await self._publishing(cut_target(*before)) is False:
            await self._gone(*before)

    async def _is_taken(self, publish: Publish) -> bool:
        """Whether somebody else who was let in already publishes under its name."""
        holder = self._places.get((publish.app, publish.name))
        return holder is not None and await self._publishing(cut_target(*holder)) is True

    async def _gone(self, stream_id: StreamId, publish: Publish) -> bool:
        """End a stream that is seen to be gone. False: the gate has cut or ended it before.

        A connector or a server's hook proves a cut. What is inferred here does not.
        """
        if not await self._gatekeeper.still_admitted(stream_id):
            return False
        await self._gatekeeper.publish_ended(publish.server, publish.connection, publish.app, publish.name)
        return True

    async def _expel(self, publish: Publish) -> bool:
        """Cut the connection until the server says that it is gone. False: the server never knew it."""
        target = cut_target(StreamId(""), publish)
        found = False
        for attempt in range(1, _EXPEL_ATTEMPTS + 1):
            said = await self._connector.cut_publisher(target)
            live = await self._connector.is_live(target)
            found = found or live is True or (said.asked and said.closed != 0)
            if live is False:
                return found
            pause_ms = backoff_ms(attempt, FIRST_RETRY_MS, MAX_RETRY_MS, random.random())
            await asyncio.sleep(pause_ms / 1000)
        self._notice("", publish, ServerNotice.STAYS)
        return True

    def _notice(self, stream_id: str, publish: Publish, what: ServerNotice) -> None:
        self._gatekeeper.noticed(ServerNoticed(publish.server, publish.app, stream_id, what))


def cut_target(stream_id: StreamId, publish: Publish) -> CutTarget:
    """The connection of a publish as a connector is asked about it."""
    return CutTarget(stream_id, publish.app, publish.name, publish.connection, publish.address)
