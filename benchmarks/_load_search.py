"""Searches for the most streams that stay in budget: brackets, then halves. Pure but for the trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks._load_report import limit_of

_GROWTH = 1.4
_PRECISION = 0.04


@dataclass(slots=True)
class Found:
    """Result of a search. ``best`` holds the figures of the highest number that passed, empty when none
    did. ``limited_by`` says how the next higher number that was tried failed."""

    best: dict[str, Any] = field(default_factory=dict)
    limited_by: str = ""
    trials: list[dict[str, Any]] = field(default_factory=list)


def find_capacity(trial: Callable[[int], dict[str, Any]], guess: int, most: int = 1000) -> Found:
    """Finds the capacity. ``trial`` runs so many streams.

    A failure counts when it happens twice, because the machine may do other work too.
    """
    found = Found()
    held, failed = 0, most + 1
    streams = max(1, guess)
    while held < streams < failed:
        result = trial(streams)
        found.trials.append(result)
        why = limit_of(result)
        if why:
            result = trial(streams)
            found.trials.append(result)
            why = limit_of(result)
        if why:
            failed, found.limited_by = streams, why
        else:
            held, found.best = streams, result
        if failed - held <= max(1, round(_PRECISION * held)):
            break
        grown = min(most, max(held + 1, round(held * _GROWTH)))
        streams = grown if failed > most else (held + failed) // 2
    return found
