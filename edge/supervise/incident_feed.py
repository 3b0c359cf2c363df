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
from typing import Final

import structlog

from edge.background import BackgroundTasks
from edge.errors import CapacityExceeded, LedgerUnavailable, NoPlace
from edge.ledger import IncidentChange, IncidentChanges
from edge.supervise.context import Context

POLL_S: Final = 0.2
QUIET_S: Final = 15.0
"""A watcher hears something within this time."""
MOST_BEHIND: Final = 10_000
"""A watcher that is this many entries of the audit log behind is told to list anew."""
_KEPT: Final = 2_000
_WATCHERS: Final = 256

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IncidentNews:
    """What a watcher is told next."""

    number: int
    """Where it stands now: what it names to go on after a break."""
    change: IncidentChange | None = None
    """None: nothing of an incident changed up to there."""
    resync: bool = False
    """Changes may have been missed: list the incidents, and go on from ``number``."""


def _numbered(changes: Sequence[IncidentChange]) -> Iterator[tuple[int, IncidentChange]]:
    """Yields changes with where a watcher stands after each. One entry of the audit log may change several
    incidents: whoever breaks off between them is told of all again."""
    for change, after in zip_longest(changes, changes[1:]):
        goes_on = after is not None and after.number == change.number
        yield change.number - goes_on, change


class IncidentFeed:
    """The changes of incidents, for all watchers of one gate."""

    def __init__(self, context: Context, tasks: BackgroundTasks) -> None:
        self._context = context
        self._tasks = tasks
        self._watchers = 0
        self._reader: asyncio.Task[None] | None = None
        self._kept: deque[IncidentChange] = deque(maxlen=_KEPT)
        self._since = 0
        """Every change after this number, up to ``_newest``, is kept."""
        self._newest = -1
        """Number of the last entry that was read. -1: none was yet."""
        self._restored = 0
        """How often the database came back without commits that were seen."""
        self._news = asyncio.Event()
        self._closed = False

    async def follow(
        self, after: int = 0, wanted: Callable[[IncidentChange], bool] = lambda change: True
    ) -> AsyncIterator[IncidentNews]:
        """Yields what changes after this number, for ever. 0: from now on. What is not ``wanted`` is left
        out.

        Begins with a ``resync`` where the watcher has to list the incidents first. Raises NoPlace and
        LedgerUnavailable.
        """
        time_s = asyncio.get_running_loop().time
        with self._watching():
            spoke_s = time_s()
            newest = await self._call_newest()
            if self._newest < 0:
                self._newest = self._since = newest
            self._start()
            at, restored = after, self._restored
            if not 0 < after <= newest:
                at = self._newest
                yield IncidentNews(at, resync=True)
                spoke_s = time_s()
            while not self._closed:
                if self._newest - at > MOST_BEHIND or restored != self._restored:
                    at, restored = self._newest, self._restored
                    yield IncidentNews(at, resync=True)
                    spoke_s = time_s()
                event = self._news
                if at < self._since:
                    page = await self._read(at)
                    news, at = page.changes, page.upto
                else:
                    news = tuple(each for each in self._kept if each.number > at)
                    at = max(at, self._newest)
                for number, change in _numbered(news):
                    if wanted(change):
                        yield IncidentNews(number, change)
                        spoke_s = time_s()
                if at >= self._newest:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout_at(spoke_s + QUIET_S):
                            await event.wait()
                # Also while the ledger is busy with what this watcher is not told.
                if time_s() - spoke_s >= QUIET_S and not self._closed:
                    yield IncidentNews(at)
                    spoke_s = time_s()
            raise CapacityExceeded("the gate is stopping")

    def close(self) -> None:
        """Ends all watching, before the gate stops."""
        self._closed = True
        self._news.set()

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
            try:
                page = await self._read(self._newest)
            except LedgerUnavailable as error:
                log.warning("no news of incidents", error=str(error))
                continue
            if page.newest < self._newest:
                self._restored += 1
                self._kept.clear()
                self._newest = self._since = page.newest
            elif page.upto > self._newest:
                for change in page.changes:
                    if len(self._kept) == _KEPT:
                        self._since = self._kept[0].number
                    self._kept.append(change)
                self._newest = page.upto
            else:
                continue
            news, self._news = self._news, asyncio.Event()
            news.set()
        # Whoever watches next begins where the ledger is then.
        self._kept.clear()
        self._newest = -1

    async def _read(self, after: int) -> IncidentChanges:
        context = self._context
        return await context.executor.call(context.ledger.incident_changes, after)

    async def _call_newest(self) -> int:
        context = self._context
        return await context.executor.call(context.ledger.newest_change)
