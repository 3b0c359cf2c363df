"""Decides when an event is retried, and when it is given up. Pure."""

from __future__ import annotations

from edge.backoff import backoff_ms

REFUSALS = 8
"""Attempts after which an event is given up, if the receiver refuses it but accepts others."""
_NOT_NOW = frozenset({408, 425, 429})


def retry_after_ms(
    attempts: int, first_ms: int, most_ms: int, spread: float, asked_ms: int | None = None
) -> int:
    """Pause after the ``attempts``-th failure (from 1), in milliseconds.

    It is ``backoff_ms``, or the receiver's Retry-After ``asked_ms`` if that is longer. ``most_ms`` bounds
    both.
    """
    pause_ms = backoff_ms(attempts, first_ms, most_ms, spread)
    return int(max(pause_ms, min(asked_ms or 0, most_ms)))


def parse_retry_after(value: str | None) -> int | None:
    """Parses ``Retry-After`` in seconds. Returns milliseconds, or None if the header is missing or
    unusable."""
    if value is None or not value.strip().isascii() or not value.strip().isdigit():
        return None
    return min(int(value.strip()[:9]), 10**8) * 1000


def is_refusal(status: int) -> bool:
    """Whether the status means that the receiver never wants this event. Statuses like 429 mean a retry."""
    return 400 <= status < 500 and status not in _NOT_NOW
