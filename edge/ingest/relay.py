"""Relays media to an FLV file or another RTMP server, directly or with hold-back.

A slow or absent relay never stalls the ingest. Its queue is bounded; beyond the bound, media is dropped up
to the next keyframe and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

from edge.errors import GateError
from edge.ingest.flv import FLV_HEADER, flv_tag
from edge.ingest.hold_back import HoldBack
from edge.ingest.message import Message, MessageType
from edge.ingest.rtmp import PublishRequest
from edge.ingest.rtmp_client import RtmpPublisher
from edge.ingest.settings import ITEM_BYTES, IngestSettings

_BATCH_BYTES = 64 * 1024
"""Size of one write. Media queued behind it can still be dropped."""


@dataclass(frozen=True, slots=True)
class RelayedMessage:
    """One message on its way to viewers. ``timestamp_ms`` is media time from ``Timeline``."""

    message: Message
    timestamp_ms: int
    config: bool
    """A decoder configuration or metadata. A viewer who joins later needs it first."""
    keyframe: bool

    @property
    def size(self) -> int:
        """Bytes of memory while it waits."""
        return len(self.message.payload) + ITEM_BYTES


class Output(Protocol):
    """The destination of a relay. Methods raise OSError, GateError or TimeoutError."""

    async def open_output(self) -> None: ...
    async def write_messages(self, batch: list[RelayedMessage]) -> None: ...
    async def close(self) -> None: ...


class FlvFile:
    """An FLV file. Reopened after a failure, it continues in a new file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    async def open_output(self) -> None:
        self._file = await asyncio.to_thread(self._create)

    def _create(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        path, attempt = self._path, 1
        while path.exists():
            attempt += 1
            path = self._path.with_stem(f"{self._path.stem}-{attempt}")
        file = path.open("xb")
        file.write(FLV_HEADER)
        return file

    async def write_messages(self, batch: list[RelayedMessage]) -> None:
        assert self._file is not None
        data = b"".join(flv_tag(passed.message, passed.timestamp_ms) for passed in batch)
        await asyncio.to_thread(self._append, self._file, data)

    @staticmethod
    def _append(file: BinaryIO, data: bytes) -> None:
        file.write(data)
        file.flush()

    async def close(self) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._file.close)
            self._file = None


class RtmpOutput:
    """Another RTMP server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._publisher: RtmpPublisher | None = None

    async def open_output(self) -> None:
        self._publisher = await RtmpPublisher.connect(self._url)

    async def write_messages(self, batch: list[RelayedMessage]) -> None:
        assert self._publisher is not None
        for passed in batch:
            await self._publisher.send(passed.message, passed.timestamp_ms)

    async def close(self) -> None:
        if self._publisher is not None:
            await self._publisher.close()
            self._publisher = None


class Relay:
    """The relay of one stream. All methods but ``run`` return at once.

    Counts ``relay_dropped``, ``relay_failures``, ``hold_back_overruns`` and ``hold_back_dropped``.
    """

    def __init__(
        self,
        output: Output,
        settings: IngestSettings,
        counters: Counter[str],
        on_down: Callable[[str], None],
        retry_s: float = 1.0,
    ) -> None:
        self._output = output
        self._retry_s = retry_s
        self._max_bytes = settings.relay_max_bytes
        self._counters = counters
        self._on_down = on_down
        self._hold: HoldBack[RelayedMessage] | None = None
        if settings.hold_back:
            self._hold = HoldBack(
                settings.hold_back_max_ms, settings.hold_back_max_bytes, settings.on_gate_down_stream
            )
        self._queue: deque[RelayedMessage] = deque()
        self._bytes = 0
        self._configs: dict[int, RelayedMessage] = {}
        self._has_video = False
        self._wants_keyframe = True
        self._open = False
        self._ended = False
        self._work = asyncio.Event()

    @property
    def overrun(self) -> bool:
        """Whether hold-back exceeded its bound and the settings say deny. Then the stream must end."""
        return self._hold is not None and self._hold.overrun

    def offer(self, passed: RelayedMessage, time_ms: int, now_ms: float) -> None:
        """Takes a message from the publisher, in order. It waits for the video up to ``time_ms``."""
        if self._hold is None:
            self._enqueue(passed)
            return
        self._hold.push(passed, time_ms, passed.size, now_ms)
        self.release(now_ms)

    def clear(self, cleared_ms: int, now_ms: float) -> None:
        """The gate has cleared the video up to ``cleared_ms``, decoding time."""
        if self._hold is not None:
            self._hold.clear(cleared_ms)
            self.release(now_ms)

    def clear_all(self, now_ms: float) -> None:
        """The gate needs no more media of this stream."""
        if self._hold is not None:
            self._hold.clear_all()
            self.release(now_ms)

    def release(self, now_ms: float) -> None:
        """Releases everything that may leave. Call it again as time passes."""
        if self._hold is None:
            return
        before = self._hold.overruns
        for passed in self._hold.release(now_ms):
            self._enqueue(passed)
        self._counters["hold_back_overruns"] += self._hold.overruns - before

    def stop_viewing(self) -> None:
        """Drops everything held or queued. Viewers get only what is being written now."""
        if self._hold is not None:
            self._counters["hold_back_dropped"] += self._hold.drop_all()
            # Released media was cleared, so the queue still goes out.
        else:
            self._drop_queue()
        self.end()

    def end(self) -> None:
        """Ends the stream: ``run`` writes the queue and returns."""
        if self._hold is not None:
            self._counters["hold_back_dropped"] += self._hold.drop_all()
        self._ended = True
        self._work.set()

    async def run(self) -> None:
        """Writes until ``end``. Counts failures of the output and retries."""
        try:
            while not (self._ended and not self._queue):
                try:
                    await self._write_on()
                except (OSError, GateError, TimeoutError) as error:
                    self._counters["relay_failures"] += 1
                    self._on_down(f"{type(error).__name__}: {error}")
                    self._drop_queue()
                    if self._ended:
                        return
                    await asyncio.sleep(self._retry_s)
        finally:
            with contextlib.suppress(OSError, GateError, TimeoutError):
                await self._output.close()

    async def _write_on(self) -> None:
        while not self._queue and not self._ended:
            self._work.clear()
            await self._work.wait()
        if not self._queue:
            return
        try:
            await self._output.open_output()
            self._open = True
            first = self._queue[0].timestamp_ms
            await self._output.write_messages(
                [replace(config, timestamp_ms=first) for config in self._configs.values()]
            )
            while True:
                if batch := self._take_batch():
                    await self._output.write_messages(batch)
                if self._ended and not self._queue:
                    return
                if not self._queue:
                    self._work.clear()
                    await self._work.wait()
        finally:
            self._open = False
            await self._output.close()

    def _take_batch(self) -> list[RelayedMessage]:
        batch: list[RelayedMessage] = []
        left = _BATCH_BYTES
        while self._queue and (not batch or self._queue[0].size <= left):
            batch.append(self._queue.popleft())
            self._bytes -= batch[-1].size
            left -= batch[-1].size
        return batch

    def _drop_queue(self) -> None:
        self._counters["relay_dropped"] += len(self._queue)
        self._queue.clear()
        self._bytes = 0
        self._wants_keyframe = True

    def _enqueue(self, passed: RelayedMessage) -> None:
        if passed.config:
            known = self._configs.get(passed.message.type_id)
            self._configs[passed.message.type_id] = passed
            self._has_video |= passed.message.type_id == MessageType.VIDEO
            if not self._open:
                # The output writes the configurations first when it opens. The queue belongs to the old one.
                if known is not None and known.message.payload != passed.message.payload:
                    self._drop_queue()
                return
        full = self._bytes + passed.size > self._max_bytes
        self._wants_keyframe |= full
        if full and passed.config:
            # Media after the gap needs every configuration again, but only once.
            self._drop_queue()
            for config in self._configs.values():
                self._append(replace(config, timestamp_ms=passed.timestamp_ms))
            return
        if self._wants_keyframe and not passed.config:
            if full or (self._has_video and not passed.keyframe):
                self._counters["relay_dropped"] += 1
                return
            self._wants_keyframe = False
        self._append(passed)

    def _append(self, passed: RelayedMessage) -> None:
        self._queue.append(passed)
        self._bytes += passed.size
        self._work.set()


def open_output(template: str, publish: PublishRequest, stream_id: str) -> Output:
    """The output that a relay template names: ``rtmp://…``, ``rtmps://…`` or an FLV file."""
    if template.startswith(("rtmp://", "rtmps://")):
        name = quote(publish.name, safe="")
        return RtmpOutput(template.format(app=quote(publish.app), name=name, stream_id=stream_id))
    filled = template.format(app=_file_name(publish.app), name=_file_name(publish.name), stream_id=stream_id)
    return FlvFile(Path(filled))


def _file_name(text: str) -> str:
    """Turns a publisher's text into a safe file name: it may name its stream, but never a folder."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in text)[:100] or "_"
