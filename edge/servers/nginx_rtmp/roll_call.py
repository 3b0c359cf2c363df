"""Asks nginx's workers which connections publish: before a publish is let in, and as long as it is live.

nginx does not tell every end. When it drops a connection for a refused publish, it does not say that an
earlier publish of the connection ended. It does not repeat an end that reached nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from edge.background import BackgroundTasks
from edge.domain import Publish, StreamId
from edge.reasons import ServerNotice
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.nginx_rtmp.stat_page import Stat, StatPage
from edge.servers.nginx_rtmp.worker_processes import worker_count
from edge.telemetry.records import ServerNoticed

_LOOKS = 16
"""Looks at the stat page until every worker has answered one."""
_GONE_CALLS = 2


async def publishes(page: StatPage, connection: str) -> tuple[bool, Stat | None]:
    """Whether a connection is seen publishing, whatever it publishes, and the last answer of nginx."""
    stat: Stat | None = None
    async for stat in _answers(page):
        if stat.publishing(connection) is not None:
            return True, stat
    return False, stat


async def _answers(page: StatPage) -> AsyncIterator[Stat]:
    """One look after the other until each worker has answered; a single one where nginx runs elsewhere."""
    asked: set[str] = set()
    for _ in range(_LOOKS):
        stat = await page.read()
        if stat is None:
            return
        yield stat
        asked.add(stat.pid)
        if len(asked) >= (worker_count(stat.pid) or 1):
            return


@dataclass(slots=True)
class _Publisher:
    stream_id: StreamId
    publish: Publish
    pid: str = ""
    """The worker in which it was seen."""
    absent: int = 0
    """Calls in a row from which it was certainly missing."""


class RollCall:
    """Asks nginx every ``pause_s`` for the publishers that were let in, and tells the gate who is gone.

    A publisher is gone when the worker that had it has it no longer, or when every worker of an nginx on this
    machine says so. Lives in one event loop.
    """

    def __init__(self, gatekeeper: Gatekeeper, page: StatPage, *, pause_s: float = 2.0) -> None:
        self._gatekeeper = gatekeeper
        self._page = page
        self._pause_s = pause_s
        self._publishers: dict[str, _Publisher] = {}
        """By connection."""
        self._tasks = BackgroundTasks()
        self._task: asyncio.Task[None] | None = None

    def add_stream(self, stream_id: StreamId, publish: Publish) -> None:
        """From now on, until nginx has said that it ended, or the gate no longer has the stream."""
        known = self._publishers.get(publish.connection)
        if known is None or known.stream_id != stream_id:
            self._publishers[publish.connection] = _Publisher(stream_id, publish)
        if self._task is None or self._task.done():
            self._task = self._tasks.keep(self._run, needed=False)

    def remove(self, connection: str) -> None:
        """nginx has said that its publish ended."""
        self._publishers.pop(connection, None)

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _run(self) -> None:
        while self._publishers:
            await asyncio.sleep(self._pause_s)
            await self._call()

    async def _call(self) -> None:
        present: dict[str, str] = {}
        asked: set[str] = set()
        workers: int | None = None
        async for stat in _answers(self._page):
            asked.add(stat.pid)
            workers = worker_count(stat.pid)
            present |= {client.connection: stat.pid for client in stat.clients if client.publishing}
        everyone = workers is not None and len(asked) >= workers
        for connection, publisher in list(self._publishers.items()):
            if not await self._gatekeeper.still_admitted(publisher.stream_id):
                self.remove(connection)
            elif (pid := present.get(connection)) is not None:
                publisher.pid, publisher.absent = pid, 0
            elif everyone or publisher.pid in asked:
                publisher.absent += 1
                if publisher.absent >= _GONE_CALLS:
                    await self._ended(connection, publisher)

    async def _ended(self, connection: str, publisher: _Publisher) -> None:
        publish = publisher.publish
        self._gatekeeper.noticed(
            ServerNoticed(publish.server, publish.app, publisher.stream_id, ServerNotice.END_UNSAID)
        )
        self.remove(connection)
        await self._gatekeeper.publish_ended(publish.server, connection, publish.app, publish.name)
