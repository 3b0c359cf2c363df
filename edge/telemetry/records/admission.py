"""Who may go live."""

from __future__ import annotations

from dataclasses import dataclass

from edge.domain import Block, Publish
from edge.telemetry.records.base import Record


@dataclass(frozen=True, slots=True)
class PublishAdmitted(Record):
    """A publish was admitted. The same connection may ask again, and each answer is reported."""

    stream_id: str
    publish: Publish
    live: int
    """Number of live streams."""


@dataclass(frozen=True, slots=True)
class NameResembles(Record):
    """An admitted broadcaster has a name that looks like that of another, who is blocked."""

    stream_id: str
    publish: Publish
    block: Block


@dataclass(frozen=True, slots=True)
class PublishRefused(Record):
    """The gate refused a publish that it was asked about."""

    publish: Publish
    reason: str
    block_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TurnedAway(Record):
    """A hook refused a publish itself. The gate was not asked, or had admitted it."""

    publish: Publish
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CallBroken(Record):
    """A call or a connection ended by its caller's own doing: ``cause`` says what of it. Any caller can make
    as many as it likes."""

    cause: str


@dataclass(frozen=True, slots=True)
class FailureModeUsed(Record):
    """A failure mode of the policy was used, because a part of the gate did not work."""

    part: str
    """``on_ledger_down``, ``on_capacity``, ``on_gate_degraded`` or ``on_no_video``."""
    mode: str
