"""Tells watchers which incidents change, of the whole fleet, in the order of the audit log.

One reader asks the ledger while anybody watches. It keeps the last changes, and each watcher has a place of
its own in them. So a slow watcher costs nothing, and no queue grows: one that is too far behind is told to
list the incidents anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, NamedTuple

import structlog

from edge.background import BackgroundTasks
from edge.domain import CaseStanding
from edge.errors import CapacityExceeded, LedgerUnavailable, NoPlace
from edge.ledger import Head, IncidentChange, IncidentChanges
from edge.supervise.context import Context

POLL_S: Final = 0.2
QUIET_S: Final = 15.0
"""A watcher hears something within this time."""
MOST_BEHIND: Final = 10_000
"""A watcher that is this many entries of the audit log behind is told to list anew."""
_KEPT: Final = 2_000
_WATCHERS: Final = 256

_NONE: Final = Head(-1, "")
"""No entry was read yet."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IncidentNews:
    """What a watcher is told next."""

    number: int
    """Where it stands now: what it names to go on after a break."""
    digest: str = ""
    """Of the audit log's entry there: by it a database is known that came back without that entry."""
    change: IncidentChange | None = None
    """None: nothing of an incident changed up to there."""
    standing: CaseStanding | None = None
    """How the incident stood with what it led to when it was read."""
    resync: bool = False
    """Changes may have been missed: list the incidents, and go on from ``number``."""


class _ToldChange(NamedTuple):
    change: IncidentChange
    standing: CaseStanding


def _news(told: Sequence[_ToldChange]) -> Iterator[IncidentNews]:
    """Yields changes with where a watcher stands after each. One entry of the audit log may change several
    incidents: whoever breaks off between them is told of all again."""
    for (change, standing), after in zip_longest(told, told[1:]):
        if after is not None and after.change.number == change.number:
            yield IncidentNews(change.number - 1, change.previous, change, standing)
        else:
            yield IncidentNews(change.number, change.digest, change, standing)


class IncidentFeed:
    """The changes of incidents, for all watchers of one gate."""

    def __init__(self, context: Context, tasks: BackgroundTasks) -> None:
        self._context = context
        self._tasks = tasks
        self._watchers = 0
        self._reader: asyncio.Task[None] | None = None
        self._kept: deque[_ToldChange] = deque(maxlen=_KEPT)
        self._since = 0
        """Every change after this number, up to ``_newest``, is kept."""
        self._newest = _NONE
        """The last entry that was read."""
        self._restored = 0
        """How often the database came back without commits that were seen."""
        self._event = asyncio.Event()
        self._closed = False

    async def follow(
        self,
        after: int = 0,
        wanted: Callable[[IncidentChange], bool] = lambda change: True,
        *,
        digest: str = "",
    ) -> AsyncIterator[IncidentNews]:
        """Yields what changes after this number, for ever. 0: from now on. What is not ``wanted`` is left
        out. ``digest``: what the entry of that number had; empty: not known.

        Begins with a ``resync`` where the watcher has to list the incidents first. Raises NoPlace and
        LedgerUnavailable.
        """
        time_s = asyncio.get_running_loop().time
        with self._watching():
            spoke_s = time_s()
            head = await self._head()
            if self._newest is _NONE:
                self._take_head(head)
            self._start()
            at, known, restored = after, digest, self._restored
            if not 0 < after <= head.number or (digest and (await self._page(after, digest)).lost):
                at, known = self._newest.number, self._newest.digest
                yield IncidentNews(at, known, resync=True)
                spoke_s = time_s()
            while not self._closed:
                if self._newest.number - at > MOST_BEHIND or restored != self._restored:
                    at, known = self._newest.number, self._newest.digest
                    restored = self._restored
                    yield IncidentNews(at, known, resync=True)
                    spoke_s = time_s()
                event = self._event
                if at < self._since:
                    page = await self._page(at)
                    told = await self._with_standings(page)
                    at, known = page.upto, page.digest
                else:
                    told = [each for each in self._kept if each.change.number > at]
                    if self._newest.number >= at:
                        at, known = self._newest.number, self._newest.digest
                for news in _news(told):
                    if news.change is not None and wanted(news.change):
                        yield news
                        spoke_s = time_s()
                if at >= self._newest.number:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout_at(spoke_s + QUIET_S):
                            await event.wait()
                # Also while the ledger is busy with what this watcher is not told.
                if time_s() - spoke_s >= QUIET_S and not self._closed:
                    yield IncidentNews(at, known)
                    spoke_s = time_s()
            raise CapacityExceeded("the gate is stopping")

    def close(self) -> None:
        """Ends all watching, before the gate stops."""
        self._closed = True
        self._event.set()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        if self._watchers >= _WATCHERS:
            raise NoPlace("watchers of incidents", _WATCHERS)
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    def _start(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = self._tasks.keep(self._read_on, "IncidentFeed", needed=False)

    async def _read_on(self) -> None:
        """Reads what is new while anybody watches."""
        while self._watchers:
            await asyncio.sleep(POLL_S)
            newest = self._newest
            try:
                page = await self._page(newest.number, newest.digest)
                told = await self._with_standings(page)
                head = await self._head() if page.lost else newest
            except LedgerUnavailable as error:
                log.warning("no news of incidents", error=str(error))
                continue
            if page.lost:
                self._restored += 1
                self._kept.clear()
                self._take_head(head)
            elif page.upto > newest.number:
                for each in told:
                    if len(self._kept) == _KEPT:
                        self._since = self._kept[0].change.number
                    self._kept.append(each)
                self._newest = Head(page.upto, page.digest)
            else:
                continue
            event, self._event = self._event, asyncio.Event()
            event.set()
        # Whoever watches next begins where the ledger is then.
        self._kept.clear()
        self._newest = _NONE

    def _take_head(self, head: Head) -> None:
        self._newest, self._since = head, head.number

    async def _head(self) -> Head:
        context = self._context
        return await context.executor.call(context.ledger.head)

    async def _page(self, after: int, digest: str = "") -> IncidentChanges:
        context = self._context
        return await context.executor.call(context.ledger.incident_changes, after, digest)

    async def _with_standings(self, page: IncidentChanges) -> list[_ToldChange]:
        """Once for all watchers."""
        if not page.changes:
            return []
        context, ids = self._context, [change.incident.id for change in page.changes]
        standings = await context.executor.call(context.ledger.standings, ids, context.clock.wall_ms())
        return [_ToldChange(change, standings[change.incident.id]) for change in page.changes]
