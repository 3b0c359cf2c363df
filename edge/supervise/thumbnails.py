"""Frames of live streams, for those who look at them now. While nobody looks nothing is decoded.

A page says which streams it shows. Their newest keyframes are decoded in turn in one contained process, which
works a small share of the time, whatever the footage costs. A page asks only for frames that are made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edge.background import BackgroundTasks
from edge.domain import AccessUnit, Action, Tier
from edge.errors import BrokenMedia
from edge.evidence.contained_thumbnails import ThumbnailProcess
from edge.evidence.thumbnail_messages import Keyframe
from edge.supervise.context import Context
from edge.supervise.live_stream import LiveStream

LOOKED_MS: Final = 5_000.0
"""A page that is open says again within this time what it shows."""
KEPT_MS: Final = 30_000.0
"""How long the process and its thumbnails stay after the last look."""
RISKY_MS: Final = 2_000.0
"""A stream in the alert tier or with a FLAG gets a new frame no earlier than this."""
CALM_MS: Final = 8_000.0
BROKEN_MS: Final = 60_000.0
"""A stream without video is tried again after this."""
_SHARE: Final = 0.05
"""Of one core, at most."""
_LEAST_PAUSE_S: Final = 0.1
_LOOK_S: Final = 0.25
_MOST_WANTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A frame of a live stream."""

    jpeg: bytes
    """Empty: none can be made."""
    number: int
    """Differs from that of any other frame of this run."""
    dts_ms: int
    made_ms: float


class Thumbnails:
    """Frames by stream, for one gate."""

    def __init__(
        self,
        context: Context,
        tasks: BackgroundTasks,
        process: ThumbnailProcess,
    ) -> None:
        self._context = context
        self._tasks = tasks
        self._process = process
        self._wanted: dict[str, float] = {}
        """Until when each stream is looked at, in monotonic time, the riskiest first."""
        self._made: dict[str, Thumbnail] = {}
        self._made_so_far = 0
        self._maker: asyncio.Task[None] | None = None

    @property
    def made_so_far(self) -> int:
        return self._made_so_far

    def look(self, stream_ids: Iterable[str]) -> None:
        """Says that somebody looks at these streams now, in this order."""
        now = self._context.clock.monotonic_ms()
        shown = dict.fromkeys(stream_ids, now + LOOKED_MS)
        others = {each: until for each, until in self._wanted.items() if each not in shown and until > now}
        self._wanted = dict([*shown.items(), *others.items()][:_MOST_WANTED])
        if self._wanted and (self._maker is None or self._maker.done()):
            self._maker = self._tasks.keep(self._make_on, "Thumbnails", needed=False)

    def number(self, stream_id: str) -> int:
        """Number of the newest frame of a stream; 0 without one."""
        made = self._made.get(stream_id)
        return made.number if made is not None and made.jpeg else 0

    def jpeg(self, stream_id: str) -> bytes:
        """The newest frame of a stream; empty without one."""
        made = self._made.get(stream_id)
        return b"" if made is None else made.jpeg

    async def stop(self) -> None:
        self._wanted.clear()
        await self._process.stop()

    async def _make_on(self) -> None:
        """Makes frames while anybody looks, and a while after."""
        while self._wanted:
            await self._make_while_looked_at()
            self._wanted.clear()
            self._made.clear()
            await self._process.stop()  # somebody may look again meanwhile

    async def _make_while_looked_at(self) -> None:
        clock, time_s = self._context.clock, asyncio.get_running_loop().time
        looked_ms = clock.monotonic_ms()
        while (now := clock.monotonic_ms()) - looked_ms < KEPT_MS:
            if any(until > now for until in self._wanted.values()):
                looked_ms = now
            due = next_due(self._live(now), self._made, now)
            if due is None:
                await asyncio.sleep(_LOOK_S)
                continue
            begun_s, starts = time_s(), self._process.pid is None
            await self._make(*due)
            took_s = 0.0 if starts else min(time_s() - begun_s, 1.0)
            await asyncio.sleep(max(_LEAST_PAUSE_S, took_s * (1 / _SHARE - 1)))

    def _live(self, now: float) -> list[tuple[LiveStream, AccessUnit]]:
        """The streams that are looked at, with their newest keyframes. Forgets frames of those that are
        over."""
        registry = self._context.registry
        for stream_id in [each for each in self._made if registry.find(each) is None]:
            del self._made[stream_id]
        found = []
        for stream_id, until in self._wanted.items():
            stream = registry.find(stream_id) if until > now else None
            unit = None if stream is None or stream.media is None else stream.media.newest_keyframe()
            if stream is not None and unit is not None:
                found.append((stream, unit))
        return found

    async def _make(self, stream: LiveStream, unit: AccessUnit) -> None:
        jpeg = b""
        with contextlib.suppress(BrokenMedia):  # the page shows that there is none
            jpeg = await self._process.picture(Keyframe(stream.codec, stream.extradata, unit.data))
        self._made_so_far += 1
        now = self._context.clock.monotonic_ms()
        self._made[stream.id] = Thumbnail(jpeg, self._made_so_far, unit.dts_ms, now)


def next_due(
    live: Iterable[tuple[LiveStream, AccessUnit]], made: dict[str, Thumbnail], now_ms: float
) -> tuple[LiveStream, AccessUnit] | None:
    """Returns the stream whose frame is due, and its keyframe: first one without video, then the one
    whose frame is oldest, measured by how often it should come. Pure."""
    due: tuple[float, tuple[LiveStream, AccessUnit]] | None = None
    for stream, unit in live:
        thumbnail = made.get(stream.id)
        if thumbnail is None:
            return stream, unit
        age = (now_ms - thumbnail.made_ms) / _every_ms(stream, thumbnail)
        if age >= 1 and thumbnail.dts_ms != unit.dts_ms and (due is None or age > due[0]):
            due = age, (stream, unit)
    return None if due is None else due[1]


def _every_ms(stream: LiveStream, thumbnail: Thumbnail) -> float:
    if not thumbnail.jpeg:
        return BROKEN_MS
    return RISKY_MS if stream.tier is Tier.ALERT or stream.action is not Action.PASS else CALM_MS
