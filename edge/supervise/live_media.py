"""Shows live streams to people: the last seconds of the evidence ring, and then what comes.

A watcher has a place in the ring, not a queue. So one who is slow costs nothing and delays nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache

from edge.errors import CapacityExceeded, NoPlace
from edge.evidence.fragments import FragmentWriter
from edge.supervise.context import Context
from edge.supervise.live_stream import LiveStream

MOST_BACK_MS: Final = 60_000
QUIET_S: Final = 15.0
"""A watcher hears something within this time."""
_LOOK_S: Final = 0.1
_ONE_WATCHING_S: Final = 600.0
"""Who watches a stream again within this time is in the audit log once."""
_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class MediaPiece:
    """What a watcher gets next. Without ``data``: nothing is new."""

    data: bytes = b""
    media_type: str = ""
    """Set where a file begins."""
    end_ms: int = 0
    """Where the file ends after this piece, in its own time."""
    behind_ms: int = 0
    """How long ago the newest frame of it came."""
    gap: bool = False
    """Media before it was left out."""


class LiveMedia:
    """The watchers of one gate's live streams. ``by`` is the person; the audit log gets the name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._watchers = 0
        self._closed = False
        self._noted: TTLCache[tuple[str, str], bool] = TTLCache(
            _REMEMBERED, _ONE_WATCHING_S, timer=lambda: context.clock.monotonic_ms() / 1000
        )

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return self._watchers

    async def watch(self, stream_id: str, by: str, back_ms: int = 0) -> AsyncGenerator[MediaPiece, None]:
        """Yields a stream as fragmented MP4 from a keyframe at most ``back_ms`` ago on, until it is over.

        Raises NotFound, NoPlace, LedgerUnavailable where the watching cannot be recorded, and what
        ``FragmentWriter`` raises.
        """
        stream = self._context.registry.get(stream_id)
        with self._watching():
            await self._note(stream, by)
            with _shown(stream):
                while self._is_live(stream):
                    async for piece in self._file(stream, back_ms):
                        yield piece
                    back_ms = 0

    def close(self) -> None:
        """Ends all watching, before the gate stops."""
        self._closed = True

    async def _file(self, stream: LiveStream, back_ms: int) -> AsyncGenerator[MediaPiece, None]:
        """Yields one file: until the stream is over, or its source opens anew."""
        clock, time_s = self._context.clock, asyncio.get_running_loop().time
        spoke_s = time_s()
        media, codec, extradata = stream.media, stream.codec, stream.extradata
        reader = None if media is None else media.reader(back_ms)
        writer: FragmentWriter | None = None
        while self._is_live(stream) and stream.media is media and stream.extradata == extradata:
            reading = None if reader is None else reader.read()
            if reading is None:
                if time_s() - spoke_s >= QUIET_S:
                    yield MediaPiece(end_ms=0 if writer is None else writer.end_ms)
                    spoke_s = time_s()
                await asyncio.sleep(_LOOK_S)
                continue
            head, media_type = b"", ""
            if writer is None:
                writer = FragmentWriter(codec, extradata, reading.units[0])
                head, media_type = writer.head, writer.media_type
            data = head + writer.fragment(reading.units, reading.next_dts_ms)
            behind_ms = max(0, round(clock.monotonic_ms() - reading.units[-1].arrival_ms))
            yield MediaPiece(data, media_type, writer.end_ms, behind_ms, reading.gap)
            spoke_s = time_s()
            await asyncio.sleep(0)  # verdicts and Admit have their turns in between

    def _is_live(self, stream: LiveStream) -> bool:
        if self._closed:
            raise CapacityExceeded("the gate is stopping")
        return self._context.registry.find(stream.id) is stream

    async def _note(self, stream: LiveStream, by: str) -> None:
        """Audits a watching before the first byte of it is shown."""
        context, key = self._context, (by, stream.id)
        if key not in self._noted:
            await context.executor.person(
                context.operator_ledger.note_stream_watched,
                stream.id,
                stream.publish.broadcaster,
                by,
                context.clock.wall_ms(),
            )
            self._noted[key] = True

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        most = self._context.settings.limits.max_media_watchers
        if self._watchers >= most:
            raise NoPlace("limits.max_media_watchers", most)
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1


@contextlib.contextmanager
def _shown(stream: LiveStream) -> Iterator[None]:
    """While somebody watches, the stream's caller sends also what nobody has to judge."""
    _ask(stream, 1)
    try:
        yield
    finally:
        _ask(stream, -1)


def _ask(stream: LiveStream, more: int) -> None:
    before, stream.shown_to = stream.shown_to, stream.shown_to + more
    if 0 in (before, stream.shown_to) and stream.wanted is not None and stream.responses is not None:
        stream.responses.put(stream.tier_answer())
