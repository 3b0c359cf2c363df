"""Follows what a gate streams for ever: connects again after a break, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from edge.backoff import backoff_ms
from edge.cli.output import print_warning
from edge.errors import CallFailed

_FIRST_MS: Final = 500
_MOST_MS: Final = 30_000


def follow(call: Callable[[], None], heard: Callable[[], int]) -> None:
    """Runs ``call`` again and again. It ends by a CallFailed; one that no retry helps is raised.

    ``heard`` says how much has come so far: where something came since the last break, the pause is short.
    """
    failures = before = 0
    while True:
        try:
            call()
        except CallFailed as error:
            if not error.retryable:
                raise
            failures = 1 if heard() != before else failures + 1
            before = heard()
            print_warning(f"{error}; connecting again")
        time.sleep(backoff_ms(max(failures, 1), _FIRST_MS, _MOST_MS) / 1000)
