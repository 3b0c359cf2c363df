"""The pause before a failed operation is retried. Pure."""

from __future__ import annotations

_MAX_DOUBLINGS = 32


def backoff_ms(attempt: int, first_ms: float, most_ms: float, spread: float = 1.0) -> float:
    """Pause after the ``attempt``-th failure (from 1), in milliseconds.

    Doubles from ``first_ms`` up to ``most_ms``. ``spread`` in [0, 1] scales it between half and full length.
    A random spread keeps many callers out of step.
    """
    full = min(first_ms * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS), most_ms)
    return full * (0.5 + 0.5 * spread)
