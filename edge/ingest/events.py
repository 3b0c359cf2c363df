"""Events for the ingest's observer: one frozen record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from edge.contract.gen import gate_pb2
from edge.domain import Tier
from edge.ingest.rtmp import PublishRequest


@dataclass(frozen=True, slots=True)
class Admitted:
    """A publish goes live. ``stream_id`` is empty if the gate was away and the settings allowed the
    publish."""

    connection: str
    stream_id: str
    publish: PublishRequest
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A publish was refused. ``answer`` is the gate's answer, or None if the gate was away."""

    connection: str
    publish: PublishRequest
    answer: gate_pb2.AdmitResponse | None
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict of the gate."""

    connection: str
    stream_id: str
    verdict: gate_pb2.Verdict
    cleared_pts_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class TierChanged:
    connection: str
    stream_id: str
    tier: Tier
    wall_ms: int


@dataclass(frozen=True, slots=True)
class GateDown:
    """The gate does not answer, or does not watch this stream now. The ingest retries."""

    connection: str
    stream_id: str
    detail: str
    wall_ms: int


@dataclass(frozen=True, slots=True)
class RelayDown:
    """The relay's output failed. The relay retries."""

    connection: str
    detail: str
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The publisher's socket is closed. ``reason`` is ``publisher``, ``replaced`` (by a new connection of the
    same publisher), ``cut``, ``refused`` or that of an error."""

    connection: str
    stream_id: str
    reason: str
    detail: str
    wall_ms: int


@dataclass(frozen=True, slots=True)
class CutConfirmed:
    """The gate knows that the stream is cut. ``time_to_cut_ms`` is its measurement, -1 if the gate had not
    cut."""

    connection: str
    stream_id: str
    time_to_cut_ms: float
    wall_ms: int


Event: TypeAlias = Admitted | Refused | Judged | TierChanged | GateDown | RelayDown | Closed | CutConfirmed
Observer: TypeAlias = Callable[[Event], None]
"""Called on the event loop, so it must not block."""
