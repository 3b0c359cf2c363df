"""Looks recorded files up in banks and reports what matched. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.containment import ProcessRole
from edge.containment import role as roles
from edge.domain import SignalSource
from edge.match import FileLookup, Matcher, MatchVote, look_up
from edge.replay.report import spared


@dataclass(frozen=True, slots=True)
class LookupSetup:
    """How files are looked up. It is small enough to send to another process."""

    banks: Path
    radius: int
    interval_ms: int
    k: int
    span_ms: int

    def open_judge(self) -> Lookup:
        return Lookup(self)

    def role(self, paths: Sequence[Path]) -> ProcessRole:
        return roles.replay([], [self.banks], paths)

    def take(self, path: Path, report: dict[str, Any]) -> dict[str, Any]:
        return {name: report[name] for name in _FIELDS}


class Lookup:
    """Looks files up one after the other with one matcher."""

    def __init__(self, setup: LookupSetup) -> None:
        self._setup = setup
        self._matcher = Matcher.open(setup.banks, radius=setup.radius)

    def run(self, path: Path, *, windows: bool = False) -> dict[str, Any]:
        """Returns the report on one file. It holds ``error`` and ``reason`` when the file cannot be read."""
        setup = self._setup

        def judge() -> dict[str, Any]:
            vote = MatchVote(setup.k, setup.span_ms)
            return _report(path, look_up(path, self._matcher, vote, interval_ms=setup.interval_ms))

        return spared(path, judge)


_FIELDS = ("path", "samples", "samples_cut_short", "matches", "nearest", "near_samples")


def _report(path: Path, looked: FileLookup) -> dict[str, Any]:
    nearest = looked.nearest
    return {
        "path": str(path),
        "samples": looked.samples,
        "samples_cut_short": looked.cut_short,
        "matches": [
            {
                "entry": one.entry,
                "bank": one.bank,
                "category": one.category,
                "by": "sound" if one.by is SignalSource.AUDIO else "picture",
                "first_s": one.first_ms / 1000,
                "distance": one.distance,
                "samples": one.samples,
                "detail": one.detail,
            }
            for one in looked.found
        ],
        "nearest": None
        if nearest is None
        else {"entry": nearest.entry, "bank": nearest.bank, "distance": nearest.distance},
        "near_samples": {f"{bank}/{entry}": count for (bank, entry), count in looked.near.most_common(16)},
    }
