"""In which order people look at incidents: a number from 0 to 100. Pure.

    priority = 100 · Σ weight · part / Σ weight

The weights are the policy's (``queue.weights``), and each part is from 0 to 1:

- severity: 1 for what is severe, else 0.5
- score: the highest score so far
- live: 1 while the stream is on air and is not being cut
- viewers: of a live stream; half of ``queue.viewers`` is 0.5, and from there on 1
- on_air: the time on air of a live stream, in the same way by ``queue.on_air_ms``
- waiting: the time since it was opened, by ``queue.waiting_ms``
- history: strikes of its broadcaster, by ``queue.strikes``

What has waited for ``queue.overdue_ms`` counts as severe and live.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.policy import PriorityWeights, QueuePolicy


def priority(
    queue: QueuePolicy,
    *,
    severe: bool,
    score: float,
    live: bool,
    viewers: int,
    on_air_ms: float,
    waiting_ms: float,
    strikes: int,
) -> float:
    """Returns the priority, 0 to 100. A negative time, of a clock that was set back, counts as none."""
    weights = queue.weights
    overdue = 0 < queue.overdue_ms <= waiting_ms
    gained = (
        weights.severity * (1.0 if severe or overdue else 0.5)
        + weights.score * _share(score, 1.0)
        + weights.waiting * _share(waiting_ms, queue.waiting_ms)
        + weights.history * _share(strikes, queue.strikes)
    )
    if live or overdue:
        gained += weights.live
    if live:
        gained += weights.viewers * _share(viewers, queue.viewers)
        gained += weights.on_air * _share(on_air_ms, queue.on_air_ms)
    return min(100.0, 100.0 * gained / weights.total)


def explain_queue(queue: QueuePolicy) -> Iterator[str]:
    """Yields what the queue's order follows, in words for people, a line each."""
    weights, total = queue.weights, queue.weights.total
    full = {
        "severity": "severe, urgent or escalated; half of it for all else",
        "score": "of the highest score",
        "live": "on air and not being cut",
        "viewers": f"live, in full from {queue.viewers} viewers",
        "on_air": f"live, in full from {_time(queue.on_air_ms)} on air",
        "waiting": f"in full after {_time(queue.waiting_ms)}",
        "history": f"in full from {queue.strikes} strikes",
    }
    for name in PriorityWeights.model_fields:
        yield f"queue {name}: up to {100 * getattr(weights, name) / total:.3g} of 100, {full[name]}"
    if queue.overdue_ms:
        yield f"queue overdue: what has waited for {_time(queue.overdue_ms)} counts as severe and live"


def _time(ms: int) -> str:
    for unit, length in (("h", 3_600_000), ("min", 60_000)):
        if ms >= length:
            return f"{ms / length:g} {unit}"
    return f"{ms / 1000:g} s"


def _share(value: float, full: float) -> float:
    return min(1.0, max(0.0, value / full))
