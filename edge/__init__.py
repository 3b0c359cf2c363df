"""edge-gate: the gate that stands beside live-stream ingest servers."""

import os
from importlib.metadata import PackageNotFoundError, version

# Read once, when grpc is first imported. Its newer listener reads sockets on threads of its own, and each
# message then passes through three threads instead of two: it nearly doubles the CPU that a message costs.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

try:
    __version__ = version("edge-gate")
except PackageNotFoundError:  # pragma: no cover - a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
