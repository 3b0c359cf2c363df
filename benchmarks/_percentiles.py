"""Percentiles of measurements, under the same names everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def percentiles(values: Sequence[float], wanted: Sequence[float] = (50, 95)) -> dict[str, float]:
    """Returns ``{"p50": …, "p95": …, "max": …}``, rounded to three decimals. Empty input gives no keys."""
    if not values:
        return {}
    named = {
        f"p{percent:g}".replace(".", ""): round(float(np.percentile(values, percent)), 3)
        for percent in wanted
    }
    return {**named, "max": round(max(values), 3)}
