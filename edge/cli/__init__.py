"""The commands: ``edge-gate --help``."""

from __future__ import annotations

import os
import signal
import sys
import traceback

from edge.grpc_listener import use_short_listener

__all__ = ["main"]


TRACEBACK = "EDGE_TRACEBACK"
"""With this variable, an error that nobody expected is shown with its traceback."""
_UNEXPECTED = 70
"""Exit code of such an error: ``EX_SOFTWARE`` of sysexits."""


def main() -> None:
    """Entry point of the ``edge-gate`` command. No traceback reaches its user.

    Ctrl-C ends it with 130, SIGTERM with 143, an error that no command expects with one line and 70. Either
    signal lets a command clean up: the processes that it started end with it.
    """
    signal.signal(signal.SIGTERM, _terminated)
    if sys.argv[1:2] in (["serve"], ["ingest"]):  # They are about to read their files anyway.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    use_short_listener()
    try:
        from edge.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        from edge.cli.output import report_unexpected

        report_unexpected(error, f"{TRACEBACK}=1 shows where", "--json" in sys.argv)
        sys.exit(_UNEXPECTED)


def _terminated(number: int, frame: object) -> None:
    """``serve`` and ``ingest`` drain instead."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # A second one must not end the clean-up.
    sys.exit(128 + number)
