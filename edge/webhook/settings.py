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

    url: str = Field("", description="Where events are POSTed to; empty: nowhere.")
    secret: SecretStr = Field(
        SecretStr(""), description="They are signed with it; `edge-gate webhook secret` makes one."
    )
    previous_secret: SecretStr = Field(
        SecretStr(""), description="While the receiver changes over, they are signed with this one, too."
    )
    events: tuple[str, ...] = Field((), description="Types that are sent; empty: all.")
    timeout_ms: int = Field(10_000, ge=100, le=60_000, description="A receiver must have answered by then.")
    first_retry_ms: int = Field(1_000, ge=10, le=3_600_000, description="Doubles with every failure …")
    max_retry_ms: int = Field(3_600_000, ge=10, le=86_400_000, description="… up to this.")
    max_age_ms: int = Field(
        3 * 86_400_000, ge=0, le=30 * 86_400_000, description="An event is given up after this."
    )
    max_waiting: int = Field(
        2_000,
        ge=1,
        le=10_000,
        description="New events that wait for their first try; others wait in the ledger.",
    )
    max_dead_bytes: int = Field(
        16 * 1024 * 1024,
        ge=4096,
        le=1024**3,
        description="Of DATA_DIR/webhook.dead.jsonl, what was given up.",
    )
    concurrency: int = Field(8, ge=1, le=64, description="Requests at a time.")
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
