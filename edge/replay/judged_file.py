"""Gathers what the pipeline says of one recorded file into its report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge.domain import Action, Signal, SignalSource, Verdict
from edge.replay.category_scores import CategoryScores


@dataclass(slots=True)
class Match:
    """A bank entry that matched in this file."""

    entry: str
    category: str
    first_s: float
    last_s: float
    distance: int
    """Least Hamming distance in bits. -1 where the audio matched."""
    samples: int
    by: SignalSource

    def as_json(self) -> dict[str, Any]:
        return {
            "entry": self.entry,
            "category": self.category,
            "by": "sound" if self.by is SignalSource.AUDIO else "picture",
            "first_s": self.first_s,
            "last_s": self.last_s,
            "distance": self.distance,
            "samples": self.samples,
        }


class JudgedFile:
    """Verdicts and scores of one file. Times are seconds from its start."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        """For each sample of the frame its highest score."""
        self.verdicts: list[list[Any]] = []
        """Time, action and category of each FLAG and CUT."""
        self._first: dict[Action, float] = {}
        self._decided: Verdict | None = None
        self._matches: dict[str, Match] = {}
        self._categories: dict[str, CategoryScores] = {}

    def add_scores(self, signals: Iterable[Signal], pts_ms: int, at_s: float) -> None:
        """Takes the scores of a window. Signals of earlier ones, on which a verdict rests too, are known."""
        for signal in signals:
            now = signal.source is SignalSource.DETECT and signal.pts_ms == pts_ms
            if now and not math.isnan(signal.score):
                self._of(signal.category).scores.append((at_s, signal.score))

    def add_verdict(self, verdict: Verdict, at_s: float) -> None:
        """Takes a verdict on a sample or a window."""
        if verdict.action is not Action.PASS:
            self.verdicts.append([round(at_s, 3), verdict.action.value, verdict.category])
            self._first.setdefault(verdict.action, at_s)
            if verdict.category in self._categories:
                self._categories[verdict.category].first_s.setdefault(verdict.action, at_s)
            if self._decided is None or _weight(verdict) > _weight(self._decided):
                self._decided = verdict
        _note_matches(self._matches, verdict, at_s)

    def add_silence(self, categories: Iterable[str], windows: int) -> None:
        """Adds the windows of audio up to ``windows`` for which nothing was said of these categories."""
        for name in categories:
            one = self._of(name)
            one.silent = max(0, windows - len(one.scores))

    def report(self) -> dict[str, Any]:
        """Returns the fields that follow from verdicts and scores."""
        decided = self._decided
        everything = [score for one in self._categories.values() for _, score in one.scores]
        heard = max((len(one.scores) + one.silent for one in self._categories.values()), default=0)
        said = self.samples or everything
        count = len(self.samples) or max(1, heard * len(self._categories))
        return {
            "samples": len(self.samples) or heard,
            "score_max": round(max(said, default=0.0), 5),
            "score_mean": round(sum(said) / count, 5),
            "verdict": (decided.action if decided is not None else Action.PASS).value,
            "shadow": decided is not None and decided.shadow,
            "first_flag_s": self._first.get(Action.FLAG),
            "first_cut_s": self._first.get(Action.CUT),
            "reason": decided.reason if decided is not None else "",
            "matches": [match.as_json() for match in self._matches.values()],
            "categories": {name: one.as_json() for name, one in sorted(self._categories.items())},
        }

    def windows(self) -> list[list[Any]]:
        """Returns time, score and category of each judged window, in order of time."""
        found = [
            [round(at_s, 3), round(score, 5), name]
            for name, one in self._categories.items()
            for at_s, score in one.scores
        ]
        return sorted(found, key=lambda each: (each[0], each[2]))

    def _of(self, category: str) -> CategoryScores:
        return self._categories.setdefault(category, CategoryScores())


def _weight(verdict: Verdict) -> tuple[bool, bool]:
    """A CUT weighs more than a FLAG, and of two alike the one that is acted on."""
    return verdict.action is Action.CUT, not verdict.shadow


def _note_matches(matches: dict[str, Match], verdict: Verdict, at_s: float) -> None:
    for signal in verdict.signals:
        if signal.source is SignalSource.DETECT or signal.entry is None:
            continue
        distance = -1 if signal.distance is None else signal.distance
        key = f"{signal.source} {signal.entry}"
        known = matches.get(key)
        if known is None:
            matches[key] = Match(signal.entry, signal.category, at_s, at_s, distance, 1, signal.source)
        else:
            known.last_s = at_s
            known.distance = min(known.distance, distance)
            known.samples += 1
