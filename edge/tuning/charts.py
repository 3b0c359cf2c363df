"""Charts as inline SVG, without script or external files. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from markupsafe import Markup

from edge.pages import render

WIDTH, HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 34, 46
COLOURS = ("#2563eb", "#0d9488", "#d97706", "#9333ea", "#64748b")


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline, named in the legend. ``hints`` are the tooltips of its points."""

    name: str
    points: Sequence[tuple[float, float]]
    hints: Sequence[str] = ()
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A highlighted point, or a line across the chart if one coordinate is None."""

    name: str
    x: float | None
    y: float | None


@dataclass(frozen=True, slots=True)
class Axis:
    title: str
    low: float
    high: float
    root: bool = False
    """Square-root scale: it spreads small values and can show zero."""

    def share(self, value: float) -> float:
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.root:
            low, high, at = math.sqrt(low), math.sqrt(high), math.sqrt(at)
        return (at - low) / ((high - low) or 1.0)

    def ticks(self) -> list[float]:
        span = self.high - self.low
        if self.root:
            steps = (_nice(self.high * part) for part in (0.005, 0.03, 0.1, 0.25, 0.5, 0.9))
            return sorted({self.low, *(step for step in steps if step <= self.high)})
        step = _nice(span / 5) or 1.0
        first = math.ceil(self.low / step)
        return [round(index * step, 10) for index in range(first, int(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A line in the coordinates of the frame."""

    name: str
    colour: str
    path: str
    hints: Sequence[tuple[float, float, str]]
    legend_x: int


def chart(title: str, x: Axis, y: Axis, lines: Sequence[Line], marks: Sequence[Mark] = ()) -> Markup:
    """Draws one chart for a page. Escapes all text."""
    return render(
        "edge.tuning",
        "chart.svg",
        title=title,
        x=x,
        y=y,
        x_of=lambda value: _x(x, value),
        y_of=lambda value: _y(y, value),
        lines=list(_drawn(lines, x, y)),
        marks=marks,
        width=WIDTH,
        height=HEIGHT,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        top=_TOP,
        bottom=HEIGHT - _BOTTOM,
    )


def _drawn(lines: Sequence[Line], x: Axis, y: Axis) -> Iterator[_Drawn]:
    legend_x = _LEFT
    for line, colour in zip(lines, cycle(COLOURS), strict=False):
        places = [(_x(x, a), _y(y, b)) for a, b in line.points]
        hints = [(at, level, hint) for (at, level), hint in zip(places, line.hints, strict=False)]
        yield _Drawn(line.name, colour, _path(places, line.steps), hints, legend_x)
        legend_x += 38 + 7 * len(line.name)


def _path(places: Sequence[tuple[float, float]], steps: bool) -> str:
    """The value of SVG's attribute ``d``. Empty without points."""
    if not places:
        return ""
    joint = "H{}V{}" if steps else "L{} {}"
    first, *others = places
    return "M{} {}".format(*first) + "".join(joint.format(*place) for place in others)


def _x(axis: Axis, value: float) -> float:
    return round(_LEFT + axis.share(value) * (WIDTH - _LEFT - _RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - _BOTTOM - axis.share(value) * (HEIGHT - _TOP - _BOTTOM), 1)


def _nice(value: float) -> float:
    if value <= 0:
        return 0.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((factor * power for factor in (1, 2, 5) if value <= factor * power * 1.0001), 10 * power)
