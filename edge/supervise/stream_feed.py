"""Tells watchers which live streams of this gate change: begin, change and end.

What is kept is the newest state of each stream and when it changed, not a queue. So a slow watcher misses
states in between, and never a stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

from edge.background import BackgroundTasks
from edge.clock import Clock
from edge.domain import new_id
from edge.errors import CapacityExceeded, NoPlace
from edge.supervise.live_stream import LiveStream
from edge.supervise.registry import Registry
from edge.turns import in_turns

LOOK_S: Final = 0.5
QUIET_S: Final = 15.0
"""A watcher hears something within this time."""
_COUNTS_MS: Final = 5_000.0
"""How often a stream is told of for its counts alone, which change with each sample."""
_ENDED: Final = 2_000
"""Number of ended streams that are remembered. A watcher that missed more begins anew."""
_WATCHERS: Final = 256


@dataclass(frozen=True, slots=True)
class StreamNews:
    """What a watcher is told next. With neither of the last three: nothing has changed."""

    number: int
    """Where it stands now: what it names to go on after a break."""
    stream: LiveStream | None = None
    """It is live, in this state."""
    ended: str = ""
    """Id of a stream that is over."""
    resync: bool = False
    """Forget all streams: those that are live follow."""


@dataclass(slots=True)
class _LastSent:
    number: int
    state: tuple[object, ...]
    counts: tuple[int, int]
    told_ms: float


class StreamFeed:
    """The changes of the live streams, for all watchers of one gate."""

    def __init__(self, registry: Registry, clock: Clock, tasks: BackgroundTasks) -> None:
        self.run = new_id("run")
        """Numbers are of this run of the gate alone."""
        self._registry = registry
        self._clock = clock
        self._tasks = tasks
        self._number = 0
        self._told: OrderedDict[str, _LastSent] = OrderedDict()
        """By id of the stream, in order of the number."""
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        """Ends up to this number are not remembered."""
        self._watchers = 0
        self._looker: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._closed = False

    async def follow(self, run: str = "", after: int = 0) -> AsyncIterator[StreamNews]:
        """Yields what changes after this number of this run, for ever. Begins with a ``resync`` and all live
        streams where that cannot be said. Raises NoPlace."""
        with self._watching():
            await self._look()
            if self._looker is None or self._looker.done():
                self._looker = self._tasks.keep(self._look_on, "StreamFeed", needed=False)
            at = after
            if run != self.run or not self._forgotten <= after <= self._number:
                at = -1
            while not self._closed:
                event = self._news
                if at < self._forgotten:
                    at = 0
                    yield StreamNews(0, resync=True)
                news, at = self._after(at), self._number
                for one in news:
                    yield one
                try:
                    async with asyncio.timeout(QUIET_S):
                        await event.wait()
                except TimeoutError:
                    yield StreamNews(at)
            raise CapacityExceeded("the gate is stopping")

    def close(self) -> None:
        """Ends all watching, before the gate stops."""
        self._closed = True
        self._news.set()

    def _after(self, number: int) -> list[StreamNews]:
        found = []
        for stream_id, told in reversed(self._told.items()):
            if told.number <= number:
                break
            stream = self._registry.find(stream_id)
            if stream is not None:  # Its end comes next.
                found.append(StreamNews(told.number, stream))
        for stream_id, ended in reversed(self._ended.items()):
            if ended <= number:
                break
            found.append(StreamNews(ended, ended=stream_id))
        return sorted(found, key=lambda news: news.number)

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        if self._watchers >= _WATCHERS:
            raise NoPlace("watchers of streams", _WATCHERS)
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    async def _look_on(self) -> None:
        """Looks at the streams while anybody watches."""
        while self._watchers:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        before, now = self._number, self._clock.monotonic_ms()
        async for stream in in_turns(self._registry):
            self._look_at(stream, now)
        for stream_id in [each for each in self._told if self._registry.find(each) is None]:
            del self._told[stream_id]
            self._number += 1
            self._ended[stream_id] = self._number
            if len(self._ended) > _ENDED:
                _, self._forgotten = self._ended.popitem(last=False)
        if self._number != before:
            news, self._news = self._news, asyncio.Event()
            news.set()

    def _look_at(self, stream: LiveStream, now_ms: float) -> None:
        told = self._told.get(stream.id)
        state = (
            stream.tier,
            stream.action,
            stream.life.in_worker,
            stream.cutting,
            stream.incident_id,
            stream.shed,
            round(stream.score, 2),
        )
        counts = stream.samples, stream.cleared_pts_ms
        if (
            told is not None
            and state == told.state
            and (counts == told.counts or now_ms - told.told_ms < _COUNTS_MS)
        ):
            return
        self._number += 1
        self._told[stream.id] = _LastSent(self._number, state, counts, now_ms)
        self._told.move_to_end(stream.id)
