"""The most streams that stay in budget: bracket, then halve. Pure but for the trials themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks._load_report import limit_of

_GROWTH = 1.4
_PRECISION = 0.04


@dataclass(slots=True)
class Found:
    """``best``: figures of the highest number that held, empty when none did; ``limited_by``: what the next
    higher number that was tried failed by."""

    best: dict[str, Any] = field(default_factory=dict)
    limited_by: str = ""
    trials: list[dict[str, Any]] = field(default_factory=list)


def find_capacity(trial: Callable[[int], dict[str, Any]], guess: int, most: int = 1000) -> Found:
    """``trial`` runs so many streams. A failure is believed when it happens twice: this machine has other
    things to do, too."""
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
