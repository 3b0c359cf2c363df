"""Events that are sent to the platform."""

from __future__ import annotations

from dataclasses import dataclass

from edge.telemetry.records.base import Record


@dataclass(frozen=True, slots=True)
class WebhookDelivered(Record):
    """The platform accepted an event."""


@dataclass(frozen=True, slots=True)
class WebhookFailed(Record):
    """The platform did not accept an event. It is sent again."""

    event_id: str
    type: str
    attempts: int
    again_in_ms: int
    problem: str


@dataclass(frozen=True, slots=True)
class WebhookGivenUp(Record):
    """An event was given up and is not sent again."""

    event_id: str
    type: str
    audit_number: int
    attempts: int
    problem: str


@dataclass(frozen=True, slots=True)
class WebhookQueue(Record):
    """Events that wait for delivery, reported with each turn of delivery."""

    waiting: int
    oldest_s: float
    """Age of the oldest event, in seconds."""


@dataclass(frozen=True, slots=True)
class WebhooksBack(Record):
    """The ledger, and so the events to deliver, can be read again."""


@dataclass(frozen=True, slots=True)
class WebhooksStopped(Record):
    """Delivery stops with the gate."""

    waiting: int
