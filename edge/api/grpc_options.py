"""The options of the gRPC server. gRPC says nothing of one that it does not know, so a test observes the
effect of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.config import LimitsSection
from edge.descriptors import most_connections

_ENVELOPE_BYTES: Final = 64 * 1024
_ROOM: Final = 4
"""Until a connection that has no place is shut down, gRPC has this many times as many."""


_PENDING: Final = 8192


@dataclass(frozen=True, slots=True)
class ServerTimes:
    """How long the server waits for what, in milliseconds."""

    keepalive_ms: int = 20_000
    """Silence after which it pings a connection."""
    ping_timeout_ms: int = 10_000
    """How long a ping may take to be answered. gRPC ignores ``keepalive_timeout_ms``, and would wait a
    minute."""
    handshake_ms: int = 10_000
    idle_ms: int = 300_000
    """A connection without a call for this long is closed."""
    least_ping_ms: int = 5_000
    """A client that pings more often than this, and sends nothing else, is sent away. A paused publisher's
    ingest pings every ten seconds."""


def server_options(
    limits: LimitsSection, share: float, times: ServerTimes | None = None
) -> list[tuple[str, int]]:
    """``share``: of the file descriptors, for connections."""
    times = times or ServerTimes()
    return [
        # Above the gate's own limit, which opens an incident. gRPC's only ends the call.
        ("grpc.max_receive_message_length", 2 * limits.max_access_unit_bytes + _ENVELOPE_BYTES),
        ("grpc.max_concurrent_streams", limits.max_streams + 64),
        # Beyond as many gRPC cancels the calls of everybody. Each waits for the event loop to take it.
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING),
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", times.keepalive_ms),
        ("grpc.http2.ping_timeout_ms", times.ping_timeout_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.server_handshake_timeout_ms", times.handshake_ms),
        ("grpc.max_connection_idle_ms", times.idle_ms),
        # Above the bound of GrpcConnections, which knows where they come from and who is idle.
        (
            "grpc.max_allowed_incoming_connections",
            most_connections(_ROOM * limits.max_grpc_connections, share),
        ),
        ("grpc.http2.min_ping_interval_without_data_ms", times.least_ping_ms),
    ]
