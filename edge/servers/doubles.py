"""Doubles of both sides of this room: a gate that admits what a test says, and a server that obeys it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from edge.domain import Publish, StreamId
from edge.errors import GateError
from edge.reasons import AdmissionReason
from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.gatekeeper import Admission
from edge.telemetry.records import ServerNoticed


@dataclass
class GatekeeperDouble:
    """A gate that keeps what hooks asked of it, in the order of ``seen``."""

    answer: Admission = field(
        default_factory=lambda: Admission(True, StreamId("st1"), AdmissionReason.ADMITTED)
    )
    """To every publish."""
    failure: GateError | None = None
    """What ``attach`` raises."""
    admitted: bool = True
    """Whether its streams are still admitted, but for those of ``cutting``."""
    cutting: set[StreamId] = field(default_factory=set)
    attaching: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a pull was asked for."""
    attached: asyncio.Event | None = None
    """Pulls start only when it is set; None: at once."""
    publishes: list[Publish] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    turned: list[tuple[str, str]] = field(default_factory=list)
    """Broadcaster and reason of what the hooks have refused by themselves."""
    notices: list[ServerNoticed] = field(default_factory=list)

    async def admit(self, publish: Publish) -> Admission:
        self.publishes.append(publish)
        self.seen.append(f"admit {publish.broadcaster}")
        return self.answer

    def turned_away(self, publish: Publish, reason: str, detail: str = "") -> None:
        self.turned.append((publish.broadcaster, reason))

    def noticed(self, notice: ServerNoticed) -> None:
        self.notices.append(notice)

    async def attach(self, stream_id: StreamId, url: str) -> None:
        self.seen.append(f"attach {stream_id} {url}")
        self.attaching.set()
        if self.attached is not None:
            await self.attached.wait()
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
class ConnectorDouble:
    """A connector to a server where the connections of ``live`` publish; None: its state cannot be read."""

    live: set[str] | None = field(default_factory=set)
    connected: set[str] = field(default_factory=set)
    """Connections that do not publish."""
    cuts: list[str] = field(default_factory=list)
    """Connections that it was asked to cut."""
    obeys: bool = True
    """Whether who is cut is gone."""
    kind: str = "node-media-server"

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
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
