"""Cutting through the ``Watch`` or ``Attach`` call of an ingest server that speaks gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edge.servers.connector import CutAttempt, CutTarget


class CallerConnector:
    """The CUT answer is queued on the caller's own call; only the caller can close and confirm.

    ``ask``: takes a stream id, and returns whether the answer can still reach the caller.
    """

    kind = "grpc"

    def __init__(self, ask: Callable[[str], Awaitable[bool]]) -> None:
        self._ask = ask

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        reachable = await self._ask(target.stream_id)
        return CutAttempt(
            asked=reachable, closed=None, detail="" if reachable else "the caller's call is over"
        )

    async def is_live(self, target: CutTarget) -> bool | None:
        return None
