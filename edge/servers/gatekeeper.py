"""The gate as the hooks of ingest servers see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.domain import Publish, StreamId
from edge.notices import Notice
from edge.reasons import AdmissionReason
from edge.telemetry.records import ServerNoticed


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a publish may go live."""

    allowed: bool
    stream_id: StreamId | None
    """Set when allowed."""
    reason: AdmissionReason
    until_ms: int = 0
    """Wall time at which the block ends; 0: no block."""
    notice: Notice | None = None
    block_id: str = ""
    provisional: bool = False
    """The block waits for a person's review."""
    resembles_block_id: str = ""
    """Allowed, under a name that looks like that of another broadcaster, whom this block bars."""
    crowded: bool = False
    """There was no free place: a stream that nobody watches has lost its own, or none was found."""


class Gatekeeper(Protocol):
    """The gate, as far as an ingest server's hooks see it."""

    async def admit(self, publish: Publish) -> Admission:
        """Whether the publish may go live; answered from memory."""
        ...

    def turned_away(self, publish: Publish, reason: str, detail: str = "") -> None:
        """Reports a publish that a hook refuses although ``admit`` was not asked or has allowed it.

        ``reason`` is a stable word. ``detail`` is text for people, without the stream's name.
        """
        ...

    def noticed(self, notice: ServerNoticed) -> None:
        """Reports what a hook has noticed about its ingest server."""
        ...

    async def attach(self, stream_id: StreamId, url: str) -> None:
        """Start to pull the stream. Raises CapacityExceeded, WorkerLost, InvalidInput or NotFound."""
        ...

    async def pull_anew(self, stream_id: StreamId) -> bool:
        """Replaces the connection of a stream that the gate pulls. Returns whether there was one."""
        ...

    async def is_watched(self, stream_id: StreamId) -> bool:
        """Whether a frame of the stream has been judged."""
        ...

    async def still_admitted(self, stream_id: StreamId) -> bool:
        """False when the stream was cut, or ended, since it was admitted."""
        ...

    async def publish_ended(self, server: str, connection: str, app: str, name: str) -> None:
        """The server says that the publisher is gone."""
        ...
