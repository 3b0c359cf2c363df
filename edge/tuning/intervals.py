"""How sure figures are: 95 % intervals by resampling whole groups, widened where that knows no doubt. Pure.

Resampling cannot doubt what it has seen without exception. A share of 0 or 1 is bounded by the exact
binomial over the groups, a rate by the exact Poisson interval, without an event by the rule of three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.detect.measures import rate_upper_bound

ROUNDS = 1000


class Figure(NamedTuple):
    """A value with its interval; nan where there is nothing to tell it from."""

    value: float
    low: float
    high: float


NOTHING = Figure(math.nan, math.nan, math.nan)


def share(hits: Sequence[int], totals: Sequence[int]) -> Figure:
    """Sum of hits over sum of totals; one entry a group."""
    if not sum(totals):
        return NOTHING
    value = sum(hits) / sum(totals)
    low, high = _resampled(hits, totals)
    groups = sum(total > 0 for total in totals)
    doubt = 0.05 ** (1 / groups)  # the share that the next groups may have when none of so many failed
    if value == 1.0:
        low = min(low, doubt)
    if value == 0.0:
        high = max(high, 1 - doubt)
    return Figure(value, low, high)


def rate(events: Sequence[int], exposures: Sequence[float]) -> Figure:
    """Events by unit of exposure; one entry a group. The wider of Poisson and resampling: events of one
    group come in bursts."""
    exposure = sum(exposures)
    if exposure <= 0:
        return NOTHING
    count = sum(events)
    if count == 0:
        return Figure(0.0, 0.0, rate_upper_bound(0, exposure))
    low, high = _resampled(events, exposures)
    below, above = _poisson(count)
    return Figure(count / exposure, min(low, below / exposure), max(high, above / exposure))


def quantile(values: Sequence[Sequence[float]], of: float) -> Figure:
    """The least value that so large a share of all is not over; one sequence a group."""
    groups = [group for group in values if len(group)]
    if not groups:
        return NOTHING
    every = np.concatenate([np.asarray(group, dtype=np.float64) for group in groups])
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = np.argsort(every, kind="stable")
    every, owner = every[order], owner[order]

    def of_weights(weights: NDArray[np.int64]) -> NDArray[np.float64]:
        below = np.cumsum(weights[:, owner], axis=1)
        return np.asarray(every[np.argmax(below >= of * below[:, -1:], axis=1)])

    low, high = np.quantile(of_weights(_weights(len(groups))), (0.025, 0.975))
    value = of_weights(np.ones((1, len(groups)), dtype=np.int64))[0]
    return Figure(float(value), float(low), float(high))


def _weights(groups: int) -> NDArray[np.int64]:
    """How often each group is drawn, ``(ROUNDS, groups)``; the same every time."""
    return np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), size=ROUNDS)


def _resampled(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    numerators, denominators = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    weights = _weights(len(numerators))
    total = weights @ denominators
    ratios = (weights @ numerators)[total > 0] / total[total > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def _poisson(count: int) -> tuple[float, float]:
    """Exact two-sided interval of a Poisson mean, count >= 1."""
    high = _bisect(lambda mean: _poisson_cdf(count, mean) - 0.025, count, 4.0 * count + 20)
    low = _bisect(lambda mean: _poisson_cdf(count - 1, mean) - 0.975, 0.0, float(count))
    return low, high


def _poisson_cdf(count: int, mean: float) -> float:
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1)] if mean > 0 else [0.0]
    return math.fsum(math.exp(value) for value in logs)


def _bisect(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
