"""Which of gRPC's listeners a process uses."""

from __future__ import annotations

import os


def use_short_listener() -> None:
    """Keep gRPC from its newer listener. Call it where a process starts: gRPC reads it when it is imported.

    The newer listener reads sockets on threads of its own, and each message then passes through three threads
    instead of two: it nearly doubles the CPU time of a message. A value that is set already stays.
    """
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
