"""95 % intervals, one method for each kind of figure.

Wilson, Byar and the order statistics are closed forms, so ``edge-gate report`` needs no extra package. The
exact Poisson bounds need scipy, from the extra ``tune``. The bootstrap is our own: it draws whole groups,
and weights them instead of copying. ``scipy.stats.bootstrap`` does neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError

Z = NormalDist().inv_cdf(0.975)
ROUNDS = 1000
_TAILS = (0.025, 0.975)


class Interval(NamedTuple):
    """A figure with its 95 % interval. All are nan if the data cannot give the figure."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


NOTHING = Interval(math.nan, math.nan, math.nan)


def require_scipy() -> None:
    """Raises ConfigError without scipy. Call it first, so the error comes before the hours of a run."""
    _special()


def wilson(count: int, of: int) -> tuple[float, float]:
    """Score interval of the share ``count / of``, for ``of`` >= 1 (Wilson 1927)."""
    p, z2 = count / of, Z * Z
    middle = p + z2 / (2 * of)
    reach = Z * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    scale = 1 + z2 / of
    low = 0.0 if count == 0 else (middle - reach) / scale
    high = 1.0 if count == of else (middle + reach) / scale
    return max(0.0, low), min(1.0, high)


def byar(count: int) -> tuple[float, float]:
    """Interval of a Poisson mean, within 1 % of the exact one (Byar, in Breslow and Day 1987)."""
    low = 0.0 if count == 0 else count * (1 - 1 / (9 * count) - Z / (3 * math.sqrt(count))) ** 3
    more = count + 1
    return max(0.0, low), more * (1 - 1 / (9 * more) + Z / (3 * math.sqrt(more))) ** 3


def order_statistics(n: int, q: float) -> tuple[int | None, int | None]:
    """Indices, from 0, of the values that bound the quantile ``q`` of ``n`` ordered values.

    None if ``n`` is too small for that bound. Uses the normal approximation of the binomial.
    """
    reach = Z * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - reach) - 1, math.ceil(n * q + reach)
    return low if low >= 0 else None, high if high < n else None


def poisson(count: int) -> tuple[float, float]:
    """Exact interval of a Poisson mean (Garwood 1936). Raises ConfigError without scipy."""
    special = _special()
    low = float(special.gammaincinv(count, _TAILS[0])) if count else 0.0
    return low, float(special.gammaincinv(count + 1, _TAILS[1]))


def rate_upper_bound(events: int, exposure: float) -> float:
    """One-sided 95 % upper bound of a Poisson rate. Without an event the rule of three: 3 / exposure.

    Raises ConfigError without scipy.
    """
    if exposure <= 0:
        return math.inf
    if events == 0:
        return 3.0 / exposure
    return float(_special().gammaincinv(events + 1, 0.95)) / exposure


def bootstrap(
    measure: Callable[[NDArray[np.bool_], NDArray[np.float64]], float],
    labels: NDArray[np.bool_],
    scores: NDArray[np.float64],
    groups: NDArray[np.str_],
    rounds: int = 500,
    seed: int = 0,
) -> Interval:
    """Interval of any measure of labels and scores, ``(N,)``. Resamples groups with replacement.

    Whole groups, because clips of one camera are not independent evidence.
    """
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    values = []
    for _ in range(rounds):
        chosen = random.integers(0, len(members), len(members))
        rows = np.concatenate([members[index] for index in chosen])
        value = measure(labels[rows], scores[rows])
        if not math.isnan(value):
            values.append(value)
    whole = measure(labels, scores)
    if not values:
        return Interval(whole, math.nan, math.nan)
    return Interval(whole, *_tails(np.asarray(values)))


def bootstrap_ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    """Interval of the ratio of two sums, with one entry for each group."""
    numerators, denominators = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    weights = _weights(len(numerators))
    total = weights @ denominators
    return _tails((weights @ numerators)[total > 0] / total[total > 0])


def bootstrap_quantile(values: Sequence[Sequence[float]], of: float) -> Interval:
    """The smallest value that the share ``of`` of all values does not exceed, with one sequence for each
    group."""
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

    value = of_weights(np.ones((1, len(groups)), dtype=np.int64))[0]
    return Interval(float(value), *_tails(of_weights(_weights(len(groups)))))


def _tails(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, _TAILS)
    return float(low), float(high)


def _weights(groups: int) -> NDArray[np.int64]:
    """How often each round draws each group, ``(ROUNDS, groups)``. The seed is fixed."""
    return np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), size=ROUNDS)


def _special() -> Any:
    try:
        from scipy import special
    except ImportError:
        raise ConfigError("exact Poisson intervals need scipy: pip install 'edge-gate[tune]'") from None
    return special
