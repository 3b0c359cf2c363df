"""The parts of a gate that webhooks need: a ledger that decides, and the delivery beside it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from edge.clock import Clock, SystemClock
from edge.domain import Publish, SubjectKind
from edge.ledger import DurableLedger
from edge.telemetry.prometheus import PrometheusBackend
from edge.telemetry.telemetry import Telemetry
from edge.webhook.delivery import Delivery
from edge.webhook.settings import WebhookSection
from edge.webhook.signing import new_secret
from tests.webhook.platform import PATIENCE_S, Platform

SECRET = new_secret()
NOW = 1_700_000_000_000


def section(platform: Platform, **changes: Any) -> WebhookSection:
    return WebhookSection(
        **{
            "url": platform.url,
            "secret": SecretStr(SECRET),
            "first_retry_ms": 10,
            "max_retry_ms": 50,
            **changes,
        }
    )


@dataclasses.dataclass
class Gate:
    ledger: DurableLedger
    folder: Path
    prometheus: PrometheusBackend = dataclasses.field(default_factory=PrometheusBackend)

    def delivery(self, settings: WebhookSection, clock: Clock | None = None) -> Delivery:
        telemetry = Telemetry(self.prometheus)
        return Delivery(settings, self.folder, self.ledger, telemetry, clock or SystemClock())

    def block(self, subject: str = "anna") -> str:
        return self.ledger.add_block(SubjectKind.BROADCASTER, subject, "", None, "spam", "rita", NOW).id

    def cut(self, stream_id: str) -> None:
        publish = Publish("nginx-rtmp", "7", "live", "show", "anna")
        self.ledger.record_stream_cut(stream_id, publish, "blocked", "bl_1", NOW)

    def count(self, outcome: str) -> float:
        return self.prometheus.registry.get_sample_value("edge_webhooks_total", {"outcome": outcome}) or 0.0

    def letters(self) -> list[dict[str, Any]]:
        """The deliveries that were given up."""
        path = self.folder / "webhook.dead.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def until(condition: Callable[[], bool]) -> None:
    def wait() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    await asyncio.to_thread(wait)
