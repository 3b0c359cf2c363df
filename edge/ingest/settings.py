"""Settings of the reference ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import ConfigError, InvalidInput
from edge.ingest.rtmp_client import PublishPlace
from edge.policy import FailureMode
from edge.section import check_http_url

Seconds = Annotated[float, Field(gt=0, le=3600)]
MIB = 1024 * 1024
ITEM_BYTES = 256
"""Memory that a message takes beside its media. It is counted, so many small messages are bounded too."""


class IngestSettings(BaseModel):
    """Where to listen, which gate to ask, what to do without it, and where to relay media."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on for RTMP.")
    port: int = Field(1935, ge=0, le=65535, description="Port for RTMP; 0 takes a free one.")
    gate: str = Field("127.0.0.1:50051", description="`host:port` or `unix:/path` of the gate.")
    gate_ca: Path | None = Field(None, description="CA file that signed the gate's certificate.")
    gate_cert: Path | None = Field(None, description="Client certificate, if the gate requires one.")
    gate_key: Path | None = Field(None, description="Its private key.")
    gate_token: Path | None = Field(
        None, description="File with the token of the role `ingest`, if the gate wants one."
    )

    on_gate_down_admission: FailureMode = Field(
        FailureMode.DENY, description="Whether a publish is admitted while the gate is away."
    )
    on_gate_down_stream: FailureMode = Field(
        FailureMode.ALLOW, description="Whether a stream goes on that the gate cannot watch, or not in time."
    )
    on_no_video: FailureMode = Field(
        FailureMode.DENY,
        description="Whether a stream goes on that has brought no video within no_video_s. Its audio is not "
        "watched then.",
    )
    no_video_s: Seconds = Field(
        10.0, description="How long a stream may take to bring video. Its audio is held until then."
    )
    token_secret: Path | None = Field(
        None, description="File with the secret of publish tokens; publishers then need one."
    )
    upstream_url: str | None = Field(
        None,
        max_length=2048,
        description="The platform's own hook: it must answer 2xx to each publish, before the gate is asked.",
    )
    upstream_timeout_s: Seconds = Field(2.0, description="How long it may take to answer.")
    trust_user: bool = Field(
        False, description="Believe the account that a publish URL names, because something else checks it."
    )

    admit_timeout_s: Seconds = 2.0
    watch_open_timeout_s: Seconds = Field(5.0, description="From opening a Watch call to its first answer.")
    gate_stall_s: Seconds = Field(
        2.0, description="How long the gate may take no media before the call is closed."
    )
    retry_first_s: Seconds = Field(0.25, description="First pause before the gate is tried again.")
    retry_most_s: Seconds = Field(5.0, description="Longest pause before the gate is tried again.")

    max_connections: int = Field(
        256, ge=1, le=100_000, description="Connections; the one that publishes nothing longest goes first."
    )
    max_connections_per_address: int = Field(
        64,
        ge=1,
        le=100_000,
        description="The same for a network (IPv4 /24, IPv6 /64) other than this machine.",
    )
    handshake_timeout_s: Seconds = Field(10.0, description="From connect to publish.")
    idle_timeout_s: Seconds = Field(30.0, description="Longest pause between media messages.")
    max_lead_ms: int = Field(
        10_000,
        ge=1_000,
        le=120_000,
        description="How far media may come ahead of its time; then the publisher's connection is read no "
        "faster.",
    )
    max_message_bytes: int = Field(4 * MIB, ge=64 * 1024, le=64 * MIB, description="Largest video frame.")
    max_pending_bytes: int = Field(
        8 * MIB, ge=64 * 1024, le=1024 * MIB, description="Most media queued for the gate."
    )
    max_gop_bytes: int = Field(
        8 * MIB, ge=0, le=1024 * MIB, description="Largest GOP kept for a gate that turns alert."
    )

    max_configurations_per_minute: int = Field(
        12, ge=1, le=1000, description="Most new decoder configurations of a stream in a minute; more end it."
    )

    relay: str | None = Field(
        None,
        max_length=2048,
        description="`rtmp://…` or an FLV file; {app}, {name}, {stream_id} are filled in.",
    )
    relay_max_bytes: int = Field(
        16 * MIB, ge=64 * 1024, le=1024 * MIB, description="Most media queued for the relay."
    )
    hold_back: bool = Field(False, description="Relay only what the gate has judged and will not cut.")
    hold_back_max_ms: int = Field(8000, ge=100, le=120_000)
    hold_back_max_bytes: int = Field(32 * MIB, ge=64 * 1024, le=1024 * MIB)

    @model_validator(mode="after")
    def _relay_fits(self) -> Self:
        if self.hold_back and self.relay is None:
            raise ValueError("hold_back needs a relay")
        if self.token_secret is not None and self.trust_user:
            raise ValueError("token_secret and trust_user exclude each other")
        if self.upstream_url is not None:
            check_http_url("upstream_url", self.upstream_url)
        if (self.gate_cert is None) != (self.gate_key is None):
            raise ValueError("gate_cert and gate_key go together")
        if self.relay is not None:
            try:
                filled = self.relay.format(app="app", name="name", stream_id="st")
            except (KeyError, IndexError, ValueError, AttributeError):
                raise ValueError("relay: only {app}, {name} and {stream_id} can be filled in") from None
            if "://" in filled:
                try:
                    PublishPlace.parse(filled)
                except InvalidInput as error:
                    raise ValueError(str(error)) from None
        return self


def ingest_settings(**values: object) -> IngestSettings:
    """Validates settings. Raises ConfigError, which names the first wrong field and its limit."""
    try:
        return IngestSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(("ingest", *(str(part) for part in first["loc"])))
        raise ConfigError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
