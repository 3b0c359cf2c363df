"""The timeline of a clip as numbers for a drawing: when witnesses spoke, where the gate decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.contract.gen import operator_pb2

WIDTH: Final = 1000
LANE: Final = 34
HEAD: Final = 22
_TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class Sign:
    """One witness's word on the timeline."""

    x: float
    y: float
    score: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class Lane:
    """Everything that was said of one category."""

    category: str
    top: int
    signs: tuple[Sign, ...]


@dataclass(frozen=True, slots=True)
class ScoreTimeline:
    """Places in a drawing ``WIDTH`` units wide. Times are those of the clip, milliseconds."""

    span_ms: int
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, int], ...]
    stretch: tuple[float, float] | None
    decided_x: float | None
    decided_ms: int | None

    @property
    def height(self) -> int:
        return HEAD + LANE * max(1, len(self.lanes))


def timeline(
    incident: operator_pb2.Incident, clip_start_pts_ms: int | None, span_ms: int
) -> ScoreTimeline | None:
    """The drawing of an incident. ``clip_start_pts_ms`` is the media time of the clip's first frame, None
    where nobody knows it. Returns None where nothing can be placed."""
    if clip_start_pts_ms is None or span_ms <= 0:
        return None

    def place(at_ms: float) -> float:
        return round(max(0.0, min(1.0, at_ms / span_ms)) * WIDTH, 1)

    by_category: dict[str, list[tuple[int, float]]] = {}
    for signal in incident.verdict.signals:
        at_ms = signal.pts_ms - clip_start_pts_ms
        if 0 <= at_ms <= span_ms:
            by_category.setdefault(signal.category, []).append((at_ms, signal.score))
    lanes = []
    for number, (category, said) in enumerate(sorted(by_category.items())):
        top = HEAD + number * LANE
        signs = tuple(
            Sign(place(at_ms), round(top + LANE - 4 - score * (LANE - 10), 1), score, at_ms)
            for at_ms, score in sorted(said)
        )
        lanes.append(Lane(category, top, signs))
    step_ms = next((s for s in _TICKS if span_ms / (s * 1000) <= 10), _TICKS[-1]) * 1000
    decided_ms = incident.verdict.pts_ms - clip_start_pts_ms
    stretch = None
    if incident.HasField("stretch"):
        stretch = place(incident.stretch.begin_ms), place(incident.stretch.end_ms)
    inside = 0 <= decided_ms <= span_ms
    return ScoreTimeline(
        span_ms=span_ms,
        lanes=tuple(lanes),
        ticks=tuple((place(at_ms), at_ms) for at_ms in range(0, span_ms, step_ms)),
        stretch=stretch,
        decided_x=place(decided_ms) if inside else None,
        decided_ms=decided_ms if inside else None,
    )
