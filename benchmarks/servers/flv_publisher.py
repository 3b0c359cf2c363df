"""A publisher that knows to the millisecond when a frame left and when its connection closed.

ffmpeg notices a closed connection only at a later write. This publisher waits for the end of the connection
itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.ingest.message import Message
from edge.ingest.rtmp_client import RtmpPublisher

_FLV_HEADER_BYTES = 13
_TAG_HEADER_BYTES = 11


@dataclass(frozen=True, slots=True)
class Published:
    """Wall times in milliseconds, with fractions."""

    left_ms: float | None
    """When the frame at the mark had been handed to the socket; None when it was not reached."""
    closed_ms: float | None
    """When the server closed the connection; None when all was sent."""


async def publish(path: Path, url: str, mark_ms: int) -> Published:
    """Publishes an FLV file in real time until the server closes or all is sent.

    Raises OSError, TimeoutError or PublishRejected when the server does not accept it at all.
    """
    publisher = await RtmpPublisher.connect(url)
    left: float | None = None
    closing = asyncio.create_task(publisher.wait_closed())
    try:
        started = time.monotonic()
        for message in flv_messages(path):
            pause_s = started + message.timestamp / 1000 - time.monotonic()
            if pause_s > 0:
                await asyncio.wait({closing}, timeout=pause_s)
            if closing.done():
                return Published(left, _wall_ms())
            with contextlib.suppress(ConnectionError):
                await publisher.send(message, message.timestamp)
            if left is None and message.timestamp >= mark_ms:
                left = _wall_ms()
        return Published(left, None)
    finally:
        closing.cancel()
        await publisher.close()


def flv_messages(path: Path) -> Iterator[Message]:
    """Yields the tags of an FLV file as RTMP messages."""
    data = memoryview(path.read_bytes())
    at = _FLV_HEADER_BYTES
    while at + _TAG_HEADER_BYTES <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        stamp = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        body = at + _TAG_HEADER_BYTES
        yield Message(data[at], stamp, bytes(data[body : body + size]))
        at = body + size + 4


def _wall_ms() -> float:
    return time.time_ns() / 1e6
