"""The timeline of a clip as numbers for a drawing: scores, witnesses, and where the gate decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.contract.gen import operator_pb2

WIDTH: Final = 1000
LANE: Final = 34
HEAD: Final = 22
_FOOT: Final = 4
_LANES: Final = 8
_LEAST: Final = 0.05
"""A category whose score stays under it and that no witness names has no lane."""
_TICKS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class Sign:
    """One witness's word on the timeline."""

    x: float
    y: float
    score: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class Lane:
    """Everything that was said of one category. ``line`` is its scores as the points of a polyline."""

    category: str
    base: int
    signs: tuple[Sign, ...]
    line: str


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


def timeline(incident: operator_pb2.Incident, account: operator_pb2.EvidenceAccount) -> ScoreTimeline | None:
    """The drawing of an incident; None without a clip."""
    span_ms = account.clip_length_ms
    if span_ms <= 0:
        return None

    def place(at_ms: float) -> float:
        return round(max(0.0, min(1.0, at_ms / span_ms)) * WIDTH, 1)

    said: dict[str, list[tuple[int, float]]] = {}
    for witness in account.witnesses:
        if witness.HasField("clip_ms") and 0 <= witness.clip_ms <= span_ms:
            said.setdefault(witness.signal.category, []).append((witness.clip_ms, witness.signal.score))
    scores: dict[str, list[tuple[int, float]]] = {}
    for point in account.scores:
        if 0 <= point.clip_ms <= span_ms:
            scores.setdefault(point.category, []).append((point.clip_ms, point.score))
    peaks = {
        category: max(score for _, score in (*said.get(category, ()), *scores.get(category, ())))
        for category in said.keys() | scores.keys()
    }
    shown = [each for each in peaks if each in said or peaks[each] >= _LEAST]
    shown.sort(key=lambda category: (-peaks[category], category))
    lanes = []
    for number, category in enumerate(shown[:_LANES]):
        base = HEAD + (number + 1) * LANE - _FOOT
        height = LANE - 2 * _FOOT
        lanes.append(
            Lane(
                category,
                base,
                tuple(
                    Sign(place(at_ms), round(base - score * height, 1), score, at_ms)
                    for at_ms, score in sorted(said.get(category, ()))
                ),
                " ".join(
                    f"{place(at_ms)},{base - score * height:.1f}"
                    for at_ms, score in sorted(scores.get(category, ()))
                ),
            )
        )
    step_ms = next((s for s in _TICKS_S if span_ms / (s * 1000) <= 10), _TICKS_S[-1]) * 1000
    decided_ms = _decided_ms(incident, account)
    stretch = None
    if incident.HasField("stretch"):
        stretch = place(incident.stretch.begin_ms), place(incident.stretch.end_ms)
    return ScoreTimeline(
        span_ms=span_ms,
        lanes=tuple(lanes),
        ticks=tuple((place(at_ms), at_ms) for at_ms in range(0, span_ms, step_ms)),
        stretch=stretch,
        decided_x=None if decided_ms is None else place(decided_ms),
        decided_ms=decided_ms,
    )


def _decided_ms(incident: operator_pb2.Incident, account: operator_pb2.EvidenceAccount) -> int | None:
    """Where in the clip the gate decided: at the newest sample that led to it."""
    for witness in account.witnesses:
        if witness.HasField("clip_ms"):
            at_ms = witness.clip_ms + incident.verdict.pts_ms - witness.signal.pts_ms
            return at_ms if 0 <= at_ms <= account.clip_length_ms else None
    return incident.stretch.end_ms if incident.HasField("stretch") else None
