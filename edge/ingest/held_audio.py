"""Audio that waits for the video that it belongs to. Pure: no I/O, time as an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

from edge.ingest.relay import RelayedMessage

MOST_BYTES: Final = 1024 * 1024
"""About a minute of audio. The oldest goes first."""


class HeldAudio:
    """Audio frames that came while the gate was offered no video, and how long that has been so from the
    beginning."""

    def __init__(self, no_video_ms: float) -> None:
        self._no_video_ms = no_video_ms
        self._held: deque[RelayedMessage] = deque()
        self._bytes = 0
        self._since_ms: float | None = None
        self._video = False
        self.dropped = 0

    def hold(self, message: RelayedMessage) -> None:
        self._held.append(message)
        self._bytes += message.size
        while self._bytes > MOST_BYTES:
            self._bytes -= self._held.popleft().size
            self.dropped += 1

    def release(self) -> list[RelayedMessage]:
        """There is video: returns what was held, in order."""
        self._video = True
        released, self._bytes = list(self._held), 0
        self._held.clear()
        return released

    def waits_too_long(self, now_ms: float) -> bool:
        """Whether the stream has never brought video, and its time for that is over."""
        if self._since_ms is None:
            self._since_ms = now_ms
        return not self._video and now_ms - self._since_ms > self._no_video_ms
