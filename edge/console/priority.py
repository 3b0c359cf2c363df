"""In which order people look at incidents: a number from 0 to 100. Pure.

    priority = 40 · severity + 25 · score + 20 · live + 10 · waiting + 5 · history

- severity: 1 for a severe incident (its category's policy, or footage of a severe bank), else 0.5
- score: its highest score so far, 0 to 1
- live: 1 while its stream is on air and is not being cut, else 0
- waiting: grows from 0 to 1 within half an hour, so that nothing waits for ever
- history: grows from 0 to 1 with three strikes of its broadcaster that stand

What somebody has escalated, and what the policy calls urgent, counts as severe.
"""

from __future__ import annotations

from typing import Final

WAITING_MS: Final = 30 * 60_000
STRIKES: Final = 3


def priority(*, severe: bool, score: float, live: bool, waiting_ms: float, strikes: int) -> float:
    """Returns the priority, 0 to 100."""
    waiting = min(1.0, max(0.0, waiting_ms) / WAITING_MS)
    history = min(1.0, max(0, strikes) / STRIKES)
    certain = min(1.0, max(0.0, score))
    return 40 * (1.0 if severe else 0.5) + 25 * certain + 20 * live + 10 * waiting + 5 * history
