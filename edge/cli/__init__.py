"""The commands: ``edge-gate --help``."""

from __future__ import annotations

import sys

from edge.grpc_listener import use_short_listener

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``edge-gate`` command; Ctrl-C ends it with 130 and no traceback."""
    use_short_listener()
    try:
        from edge.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)
