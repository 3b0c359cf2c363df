"""The answers that a Watch or Attach call has still to read: a bounded queue that never loses a CUT."""

from __future__ import annotations

import asyncio
from collections import deque

from edge.contract.gen import gate_pb2
from edge.errors import GateError


class ResponseQueue:
    """Answers of one call, in order.

    If the caller reads too slowly, the oldest PASS is dropped. The watermark of a later answer says all
    that it said. Answers that ask for an action are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[gate_pb2.WatchResponse] = deque()
        self._more = asyncio.Event()
        self._closed = False
        self.error: GateError | None = None
        self.told_opened = False
        """The caller knows that its stream is watched."""
        self.dropped = 0

    def put(self, answer: gate_pb2.WatchResponse) -> None:
        if self._closed:
            return
        if len(self._queue) >= self._limit:
            self.dropped += 1
            del self._queue[self._expendable()]
        self._queue.append(answer)
        self._more.set()

    def _expendable(self) -> int:
        for index, answer in enumerate(self._queue):
            if answer.WhichOneof("response") == "verdict" and answer.verdict.action == gate_pb2.ACTION_PASS:
                return index
        for index, answer in enumerate(self._queue):
            if answer.WhichOneof("response") != "verdict":
                return index
        return 0

    def close(self, error: GateError | None = None) -> None:
        """Takes no more answers. ``error`` ends the call with a failure status."""
        if not self._closed:
            self._closed = True
            self.error = error
            self._more.set()

    @property
    def closed(self) -> bool:
        return self._closed

    async def get(self) -> gate_pb2.WatchResponse | None:
        """Returns the next answer. None when the queue is closed and empty."""
        while not self._queue:
            if self._closed:
                return None
            self._more.clear()
            await self._more.wait()
        return self._queue.popleft()
