"""Figures with their 95 % intervals and what they are shares of. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` of ``of``; value and interval between 0 and 1, None where there is nothing to count."""

    count: int
    of: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PerHours:
    """``count`` events in ``hours``, as a rate per 1,000 hours; None where no hour was counted."""

    count: int
    hours: float
    per_1000_hours: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of durations, milliseconds. A bound is None where there are too few for one."""

    value_ms: int
    low_ms: int | None
    high_ms: int | None


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took, of ``of`` measured cases; None where there are none."""

    of: int
    p50: Quantile | None
    p95: Quantile | None


def share(count: int, of: int) -> Share:
    """Wilson's score interval."""
    if of == 0:
        return Share(count, of, None, None, None)
    p, z2 = count / of, _Z * _Z
    middle = p + z2 / (2 * of)
    reach = _Z * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    scale = 1 + z2 / of
    low = 0.0 if count == 0 else (middle - reach) / scale
    high = 1.0 if count == of else (middle + reach) / scale
    return Share(count, of, p, max(0.0, low), min(1.0, high))


def per_hours(count: int, hours: float) -> PerHours:
    """Byar's approximation of the exact Poisson interval."""
    if hours <= 0:
        return PerHours(count, hours, None, None, None)
    low = 0.0 if count == 0 else count * (1 - 1 / (9 * count) - _Z / (3 * math.sqrt(count))) ** 3
    more = count + 1
    high = more * (1 - 1 / (9 * more) + _Z / (3 * math.sqrt(more))) ** 3
    scale = 1000 / hours
    return PerHours(count, hours, count * scale, max(0.0, low) * scale, high * scale)


def times(durations_ms: Iterable[int]) -> Times:
    """Median and 95th percentile, with intervals from the order of the values alone."""
    ordered = sorted(durations_ms)
    if not ordered:
        return Times(0, None, None)
    return Times(len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.95))


def _quantile(ordered: list[int], q: float) -> Quantile:
    n = len(ordered)
    reach = _Z * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - reach) - 1, math.ceil(n * q + reach)
    return Quantile(
        ordered[min(n - 1, math.ceil(n * q) - 1)],
        ordered[low] if low >= 0 else None,
        ordered[high] if high < n else None,
    )
