"""edge-gate: the gate that stands beside live-stream ingest servers."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("edge-gate")
except PackageNotFoundError:  # pragma: no cover - a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
