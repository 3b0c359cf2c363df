"""The channel to the gate: in plain text on this machine, over TLS to any other."""

from __future__ import annotations

from pathlib import Path

import grpc
from grpc import aio

from edge.ingest.settings import IngestSettings
from edge.section import grpc_target, is_local
from edge.settings_file import MAX_KEY_BYTES, read_settings_file


def channel_options(
    ping_ms: int = 10_000, ping_timeout_ms: int = 5_000, retry_ms: int = 100, most_retry_ms: int = 2_000
) -> list[tuple[str, int]]:
    """``ping_ms``: the silence after which the client pings the gate. The gate requires five seconds between
    two pings. gRPC says nothing of an option that it does not know, so a test observes the effect of each."""
    return [
        # The RTMP reader bounds what is sent, and the gate what it answers.
        ("grpc.max_receive_message_length", -1),
        ("grpc.initial_reconnect_backoff_ms", retry_ms),
        ("grpc.min_reconnect_backoff_ms", retry_ms),
        ("grpc.max_reconnect_backoff_ms", most_retry_ms),
        # Without pings a cut cable shows only when nothing more can be queued.
        ("grpc.keepalive_time_ms", ping_ms),
        ("grpc.http2.ping_timeout_ms", ping_timeout_ms),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def gate_channel(settings: IngestSettings) -> aio.Channel:
    """Opens a channel. Raises ConfigError for a certificate or key that cannot be read."""
    options, target = channel_options(), grpc_target(settings.gate)
    if settings.gate_ca is None and is_local(settings.gate):
        # A proxy of the environment is another machine.
        return aio.insecure_channel(target, options=[*options, ("grpc.enable_http_proxy", 0)])
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(settings.gate_ca),
        private_key=_read(settings.gate_key),
        certificate_chain=_read(settings.gate_cert),
    )
    return aio.secure_channel(target, credentials, options=options)


def _read(path: Path | None) -> bytes | None:
    return None if path is None else read_settings_file(path, MAX_KEY_BYTES)
