"""The settings of the webhook."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from edge.errors import InvalidInput
from edge.section import Section, check_http_url, is_local
from edge.webhook.events import TYPES
from edge.webhook.signing import key_of


class WebhookSection(Section):
    """The platform's endpoint for the gate's decisions."""

    url: str = Field("", description="Endpoint for the POSTs; empty: no webhooks.")
    secret: SecretStr = Field(
        SecretStr(""), description="Signs the events; `edge-gate webhook secret` makes one."
    )
    previous_secret: SecretStr = Field(
        SecretStr(""), description="Also signs them while the receiver changes to the new secret."
    )
    events: tuple[str, ...] = Field((), description="Event types to send; empty: all.")
    timeout_ms: int = Field(10_000, ge=100, le=60_000, description="Time limit of one attempt.")
    first_retry_ms: int = Field(
        1_000, ge=10, le=3_600_000, description="First pause; it doubles with every failure …"
    )
    max_retry_ms: int = Field(3_600_000, ge=10, le=86_400_000, description="… up to this pause.")
    max_age_ms: int = Field(
        3 * 86_400_000, ge=0, le=30 * 86_400_000, description="Age at which an event is given up."
    )
    max_waiting: int = Field(
        2_000,
        ge=1,
        le=10_000,
        description="Most events that wait for their first attempt; others wait in the ledger.",
    )
    max_dead_bytes: int = Field(
        16 * 1024 * 1024,
        ge=4096,
        le=1024**3,
        description="Most bytes of DATA_DIR/webhook.dead.jsonl, which keeps events that were given up.",
    )
    concurrency: int = Field(8, ge=1, le=64, description="Most simultaneous requests.")
    ca: Path | None = Field(
        None, description="Certificate authority of the receiver, PEM. Default: the system's."
    )
    public_only: bool = Field(False, description="Refuse receivers inside this machine or private networks.")
    insecure: bool = Field(False, description="Allow http:// beyond this machine.")

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """The secrets that sign events, the current one first."""
        return tuple(each for each in (self.secret, self.previous_secret) if each.get_secret_value())

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not self.url:
            return self
        check_http_url("url", self.url)
        parts = urlsplit(self.url)
        if parts.username or parts.password:
            raise ValueError("url must not hold a user or a password: receivers check the signature")
        if parts.scheme == "http" and not self.insecure and not is_local(f"{parts.hostname}:0"):
            raise ValueError("url is http:// and not on this machine: use https://, or set insecure = true")
        if not self.secret.get_secret_value():
            raise ValueError("url wants a secret; `edge-gate webhook secret` makes one")
        for name in ("secret", "previous_secret"):
            text = getattr(self, name).get_secret_value()
            if text:
                try:
                    key_of(text)
                except InvalidInput as error:
                    raise ValueError(f"{name} {error.problem}") from None
        for kind in self.events:
            if kind not in TYPES:
                raise ValueError(f"events: {kind!r} is none of {', '.join(TYPES)}")
        return self
