"""When an event is tried again, and when it is given up. Pure."""

from __future__ import annotations

from edge.backoff import backoff_ms

REFUSALS = 8
"""An event that was tried as often, and is refused while others are taken, is given up."""
_NOT_NOW = frozenset({408, 425, 429})


def retry_after_ms(
    attempts: int, first_ms: int, most_ms: int, spread: float, asked_ms: int | None = None
) -> int:
    """Pause after the ``attempts``-th failure (from 1), milliseconds.

    As ``backoff_ms``. ``asked_ms``: the receiver's Retry-After, which is kept to where it is longer, within
    bounds.
    """
    pause_ms = backoff_ms(attempts, first_ms, most_ms, spread)
    return int(max(pause_ms, min(asked_ms or 0, most_ms)))


def parse_retry_after(value: str | None) -> int | None:
    """``Retry-After`` in seconds, as milliseconds; None where there is none that can be used."""
    if value is None or not value.strip().isascii() or not value.strip().isdigit():
        return None
    return min(int(value.strip()[:9]), 10**8) * 1000


def is_refusal(status: int) -> bool:
    """Whether the receiver says that it does not want this event, rather than not now."""
    return 400 <= status < 500 and status not in _NOT_NOW
