"""The guarantee that the user asks of cuts, and whether the data supports it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.detect.measures import spell_hours, spell_rate
from edge.intervals import rate_upper_bound
from edge.tuning.figures import Counts, Figures


@dataclass(frozen=True, slots=True)
class Guarantee:
    """Sets at most one of the two limits. Without any, it demands no false cut on the data."""

    precision: float | None = None
    """Least share of cuts that hit violence, at the labels' mix of violent and calm."""
    false_cuts_per_hour: float | None = None
    """Most false cuts per hour of calm stream time."""

    def kept_by(self, found: Counts) -> bool:
        """Whether the counts alone, without intervals, keep the guarantee. Zero false cuts always keep it."""
        if found.false_cuts == 0:
            return True
        if self.precision is not None:
            return found.cut >= self.precision * (found.cut + found.false_cuts)
        return found.false_cuts <= (self.false_cuts_per_hour or 0.0) * found.calm_hours


@dataclass(frozen=True, slots=True)
class Support:
    """Whether the data shows at 95 % that the guarantee holds."""

    asked: str
    """``cut_precision``, ``false_cuts_per_hour``, or empty if nothing was asked."""
    wanted: float
    bound: float
    """The bound that the data shows: the highest possible rate, or the lowest possible precision."""
    shown: bool
    text: str
    """One sentence for people."""


def evidence(promise: Guarantee, found: Figures) -> Support:
    """Checks a guarantee against figures of footage that was not used for the choice."""
    counts = found.counts
    if promise.precision is not None:
        return _precision(promise.precision, found)
    bound = rate_upper_bound(counts.false_cuts, counts.calm_hours)
    seen = f"{counts.false_cuts} false cuts in {spell_hours(counts.calm_hours)} of calm footage"
    shows = f"{seen} show at most {spell_rate(bound)} an hour (95 %)"
    if promise.false_cuts_per_hour is None:
        return Support("", math.nan, bound, True, f"{shows}.")
    wanted = promise.false_cuts_per_hour
    if bound <= wanted:
        return Support("false_cuts_per_hour", wanted, bound, True, f"{shows}; {wanted:g} were asked for.")
    if wanted <= 0:
        text = f"{shows}. No amount of footage shows that there are none: ask for a rate above 0."
    elif counts.false_cuts > wanted * counts.calm_hours:
        text = f"{shows}; {wanted:g} were asked for, and unseen footage had more than that."
    else:
        text = (
            f"Too little data to promise {wanted:g} false cuts an hour: {shows}. "
            f"{3 / wanted:.4g} h without a false cut would show it."
        )
    return Support("false_cuts_per_hour", wanted, bound, False, text)


def _precision(wanted: float, found: Figures) -> Support:
    counts = found.counts
    if not counts.cut and not counts.false_cuts:
        text = f"No unseen footage was cut, so a precision of {wanted:g} is not shown."
        return Support("cut_precision", wanted, 0.0, False, text)
    bound = found.cut_precision.low
    seen = f"{counts.cut} of {counts.cut + counts.false_cuts} cuts were of violence"
    shows = f"{seen}, so the precision is at least {bound:.3f} (95 %)"
    if bound >= wanted:
        return Support("cut_precision", wanted, bound, True, f"{shows}; {wanted:g} was asked for.")
    if found.cut_precision.value < wanted:
        text = f"{shows}; {wanted:g} was asked for, and unseen footage had less than that."
    else:
        groups = math.ceil(math.log(0.05) / math.log(wanted)) if 0 < wanted < 1 else 0
        more = f" True cuts in {groups} groups and no false one would show it." if groups else ""
        text = f"Too little data to promise a precision of {wanted:g}: {shows}.{more}"
    return Support("cut_precision", wanted, bound, False, text)
