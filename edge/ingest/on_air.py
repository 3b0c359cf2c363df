"""Who publishes what now, and whom a publisher that comes back takes over."""

from __future__ import annotations

import asyncio
from typing import Protocol

from edge.ingest.rtmp import PublishRequest


class OnAirConnection(Protocol):
    """A connection that is on air."""

    async def give_way(self) -> None:
        """Ends for another one. Returns once the gate knows that its stream is over, or after a while."""
        ...


class OnAir:
    """The connections that are on air, by what they publish."""

    def __init__(self) -> None:
        self._there: dict[tuple[str, str], dict[OnAirConnection, PublishRequest]] = {}

    def enter(self, connection: OnAirConnection, publish: PublishRequest) -> None:
        self._there.setdefault((publish.app, publish.name), {})[connection] = publish

    def leave(self, connection: OnAirConnection, publish: PublishRequest) -> None:
        there = self._there.get((publish.app, publish.name), {})
        there.pop(connection, None)
        if not there:
            self._there.pop((publish.app, publish.name), None)

    def predecessors(self, publish: PublishRequest) -> list[OnAirConnection]:
        """Connections that this publish takes over."""
        there = self._there.get((publish.app, publish.name), {})
        return [connection for connection, before in there.items() if publish.takes_over(before)]


async def end_all(connections: list[OnAirConnection]) -> None:
    """Ends connections side by side. Returns when all have given way."""
    await asyncio.gather(*(connection.give_way() for connection in connections))
