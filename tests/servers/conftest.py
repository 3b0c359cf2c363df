"""A gate that keeps what the hooks asked of it, and a server whose state a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from edge.domain import Publish, StreamId
from edge.errors import GateError
from edge.reasons import AdmissionReason
from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.gatekeeper import Admission


@dataclass
class RecordingGate:
    """Admits with ``answer``; ``admitted`` is what it would still say of its streams, but those it cuts."""

    answer: Admission = field(
        default_factory=lambda: Admission(True, StreamId("st1"), AdmissionReason.ADMITTED)
    )
    failure: GateError | None = None
    admitted: bool = True
    cutting: set[StreamId] = field(default_factory=set)
    publishes: list[Publish] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    turned: list[tuple[str, str]] = field(default_factory=list)
    """Broadcaster and reason of what the hooks have refused by themselves."""

    async def admit(self, publish: Publish) -> Admission:
        self.publishes.append(publish)
        self.seen.append(f"admit {publish.broadcaster}")
        return self.answer

    def turned_away(self, publish: Publish, reason: str, detail: str = "") -> None:
        self.turned.append((publish.broadcaster, reason))

    async def attach(self, stream_id: StreamId, url: str) -> None:
        self.seen.append(f"attach {stream_id} {url}")
        if self.failure is not None:
            raise self.failure

    async def pull_anew(self, stream_id: StreamId) -> bool:
        return False

    async def is_watched(self, stream_id: StreamId) -> bool:
        return False

    async def still_admitted(self, stream_id: StreamId) -> bool:
        return self.admitted and stream_id not in self.cutting

    async def publish_ended(self, server: str, connection: str, app: str, name: str) -> None:
        self.seen.append(f"ended {server} {connection} {app}/{name}")


@dataclass
class ServerState:
    """A connector to a server where ``live`` publish; None: its state cannot be read."""

    live: set[str] | None = field(default_factory=set)
    connected: set[str] = field(default_factory=set)
    """Connections that do not publish."""
    cuts: list[str] = field(default_factory=list)
    obeys: bool = True
    kind: str = "node-media-server"

    async def cut(self, target: CutTarget) -> CutAttempt:
        self.cuts.append(target.connection)
        if self.live is None:
            return CutAttempt(False, None)
        known = target.connection in self.live | self.connected
        if self.obeys:
            self.live.discard(target.connection)
            self.connected.discard(target.connection)
        return CutAttempt(True, int(known))

    async def is_live(self, target: CutTarget) -> bool | None:
        return None if self.live is None else target.connection in self.live | self.connected

    async def publishes(self, target: CutTarget) -> bool | None:
        return None if self.live is None else target.connection in self.live


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never came true")


@pytest.fixture
def gate() -> RecordingGate:
    return RecordingGate()


@pytest.fixture
def state() -> ServerState:
    return ServerState()
