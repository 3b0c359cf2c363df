"""Charts as inline SVG: no script, no file from elsewhere. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 34, 46
COLOURS = ("#2563eb", "#0d9488", "#d97706", "#9333ea", "#64748b")


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline with a name in the legend; ``hints`` are shown on hovering over its points."""

    name: str
    points: Sequence[tuple[float, float]]
    hints: Sequence[str] = ()
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A point that stands out, or with only one coordinate a line across the chart."""

    name: str
    x: float | None
    y: float | None


@dataclass(frozen=True, slots=True)
class Axis:
    title: str
    low: float
    high: float
    root: bool = False
    """Square-root scale: room for small values, and zero on it."""

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


def chart(title: str, x: Axis, y: Axis, lines: Sequence[Line], marks: Sequence[Mark] = ()) -> str:
    """One chart. All text is escaped."""
    body = [_grid(x, y)]
    for line, colour in zip(lines, _cycle(len(lines)), strict=True):
        body.append(_line(line, colour, x, y))
    body += [_mark(mark, index, x, y) for index, mark in enumerate(marks)]
    body.append(_legend(lines))
    label = escape(title, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"<title>{label}</title>{''.join(body)}</svg>"
    )


def _cycle(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _x(axis: Axis, value: float) -> float:
    return round(_LEFT + axis.share(value) * (WIDTH - _LEFT - _RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - _BOTTOM - axis.share(value) * (HEIGHT - _TOP - _BOTTOM), 1)


def _grid(x: Axis, y: Axis) -> str:
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    parts = []
    for value in x.ticks():
        at = _x(x, value)
        parts.append(f'<line class="grid" x1="{at}" y1="{top}" x2="{at}" y2="{bottom}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>')
    for value in y.ticks():
        at = _y(y, value)
        parts.append(f'<line class="grid" x1="{left}" y1="{at}" x2="{right}" y2="{at}"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4}" text-anchor="end">{value:g}</text>')
    parts.append(f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>')
    middle = (left + right) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.title)}</text>')
    middle = (top + bottom) / 2
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        f"{escape(y.title)}</text>"
    )
    return "".join(parts)


def _line(line: Line, colour: str, x: Axis, y: Axis) -> str:
    if not line.points:
        return ""
    places = [(_x(x, a), _y(y, b)) for a, b in line.points]
    path = f"M{places[0][0]} {places[0][1]}"
    for at, height in places[1:]:
        path += f"H{at}V{height}" if line.steps else f"L{at} {height}"
    parts = [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>']
    for (at, height), hint in zip(places, line.hints, strict=False):
        parts.append(
            f'<circle cx="{at}" cy="{height}" r="3" fill="{colour}"><title>{escape(hint)}</title></circle>'
        )
    return "".join(parts)


def _mark(mark: Mark, index: int, x: Axis, y: Axis) -> str:
    name = escape(mark.name)
    if mark.x is not None and mark.y is not None:
        at, height = _x(x, mark.x), _y(y, mark.y)
        return (
            f'<circle class="chosen" cx="{at}" cy="{height}" r="7"><title>{name}</title></circle>'
            f'<text class="strong" x="{at + 11}" y="{height + 15}">{name}</text>'
        )
    if mark.x is not None:
        at = _x(x, mark.x)
        anchor, beside = ("start", at + 4) if at < WIDTH - 90 else ("end", at - 4)
        return (
            f'<line class="mark" x1="{at}" y1="{_TOP}" x2="{at}" y2="{HEIGHT - _BOTTOM}"/>'
            f'<text class="strong" text-anchor="{anchor}" x="{beside}" y="{_TOP + 12 + 15 * index}">'
            f"{name}</text>"
        )
    if mark.y is not None:
        height = _y(y, mark.y)
        return (
            f'<line class="mark" x1="{_LEFT}" y1="{height}" x2="{WIDTH - _RIGHT}" y2="{height}"/>'
            f'<text class="strong" x="{_LEFT + 6}" y="{height - 5}">{name}</text>'
        )
    return ""


def _legend(lines: Sequence[Line]) -> str:
    parts = []
    at = _LEFT
    for line, colour in zip(lines, _cycle(len(lines)), strict=True):
        parts.append(
            f'<rect x="{at}" y="11" width="14" height="4" fill="{colour}"/>'
            f'<text x="{at + 20}" y="17">{escape(line.name)}</text>'
        )
        at += 38 + 7 * len(line.name)
    return "".join(parts)


def _nice(value: float) -> float:
    if value <= 0:
        return 0.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((factor * power for factor in (1, 2, 5) if value <= factor * power * 1.0001), 10 * power)
