"""Drains a gate that stops: what has come is judged, what is decided counts, and callers are told last.

admit nothing ─▶ hear what is on its way ─▶ take no more media ─▶ judge the rest ─▶ enforce ─▶ tell callers
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from edge.supervise.context import Context
from edge.supervise.live_stream import LiveStream
from edge.turns import in_turns

HEAR_S: Final = 1.0
"""How long a gate that stops still takes media. What came before the signal may wait in sockets and pipes."""
_END_BUDGETS: Final = 2.0
"""Budgets in which a worker judges the rest of a stream (``edge.workers.loop``)."""
_SLACK_S: Final = 1.0
_MOST_S: Final = 10.0
"""Longest wait for the last verdicts."""
_LOOK_S: Final = 0.02

log = structlog.get_logger(__name__)


class Drain:
    """Ends the media of all streams. ``take_no_more`` has a worker judge the rest of one."""

    def __init__(self, context: Context, take_no_more: Callable[[LiveStream], None]) -> None:
        self._context = context
        self._take_no_more = take_no_more
        self.hear_s: float = HEAR_S

    async def judge_rest(self) -> None:
        """Returns when everything that has come is judged, or has waited for longer than its budget."""
        self._context.draining = True
        await self._until_judged(self.hear_s)
        self._context.media_over = True
        async for stream in in_turns(self._context.registry):
            self._take_no_more(stream)
        left = await self._until_judged(self._longest_s())
        if left:
            log.error("the gate stops before all that has come is judged", streams=left)

    async def _until_judged(self, most_s: float) -> int:
        """Waits until no worker judges a stream. Returns how many are still judged after ``most_s``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + most_s
        while (left := self._judged()) and loop.time() < end:  # noqa: ASYNC110 (a stream's life has no event)
            await asyncio.sleep(_LOOK_S)
        return left

    def _judged(self) -> int:
        """Number of streams that a worker judges."""
        return sum(1 for stream in self._context.registry if _is_judged(stream))

    def _longest_s(self) -> float:
        in_force = self._context.in_force
        budgets = [in_force.for_publish(s.publish).budget_ms for s in self._context.registry if _is_judged(s)]
        return min(_MOST_S, _END_BUDGETS * max(budgets, default=0) / 1000 + _SLACK_S)


def _is_judged(stream: LiveStream) -> bool:
    return stream.life.watched and stream.source_opened
