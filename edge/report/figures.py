"""Figures with their 95 % intervals and their totals. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from edge.intervals import byar, order_statistics, wilson


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` out of ``of``. Value and interval lie between 0 and 1; None if ``of`` is 0."""

    count: int
    of: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PerHours:
    """``count`` events in ``hours``, as a rate per 1,000 hours. None without any hours."""

    count: int
    hours: float
    per_1000_hours: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of durations in milliseconds. A bound is None if there are too few durations."""

    value_ms: int
    low_ms: int | None
    high_ms: int | None


@dataclass(frozen=True, slots=True)
class Times:
    """Quantiles over ``of`` measured durations. None without any."""

    of: int
    p50: Quantile | None
    p95: Quantile | None


def share(count: int, of: int) -> Share:
    """A share with Wilson's score interval."""
    if of == 0:
        return Share(count, of, None, None, None)
    return Share(count, of, count / of, *wilson(count, of))


def per_hours(count: int, hours: float) -> PerHours:
    """A rate with Byar's approximation of the exact Poisson interval."""
    if hours <= 0:
        return PerHours(count, hours, None, None, None)
    scale = 1000 / hours
    low, high = byar(count)
    return PerHours(count, hours, count * scale, low * scale, high * scale)


def times(durations_ms: Iterable[int]) -> Times:
    """Median and 95th percentile, with distribution-free intervals from order statistics."""
    ordered = sorted(durations_ms)
    if not ordered:
        return Times(0, None, None)
    return Times(len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.95))


def _quantile(ordered: list[int], q: float) -> Quantile:
    n = len(ordered)
    low, high = order_statistics(n, q)
    return Quantile(
        ordered[min(n - 1, math.ceil(n * q) - 1)],
        None if low is None else ordered[low],
        None if high is None else ordered[high],
    )
