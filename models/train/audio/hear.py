"""Runs a finished graph over whole recordings, under conditions, as the gate would."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from edge.detect.audio.log_mel import RATE
from models.train.audio.degrade import CONDITIONS
from models.train.audio.export import OUTPUT
from models.train.audio.index import Sound
from models.train.audio.measures import Heard, Scores, figures, threshold_for
from models.train.audio.patches import Patches, patches
from models.train.audio.scenes import Load, generator
from models.train.audio.teacher import CATEGORIES, CLASSES, by_category


class Listener:
    """A student's graph, or the teacher's."""

    def __init__(self, model: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self._session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        names = [one.name for one in self._session.get_outputs()]
        self._output = OUTPUT if OUTPUT in names else "scores"

    def scores(self, windows: Patches) -> Scores:
        """Returns ``(N, 3)``, 0 to 1, in the order of ``CATEGORIES``."""
        scores = np.concatenate(
            [
                self._session.run([self._output], {self._input: windows[at : at + 32]})[0]
                for at in range(0, len(windows), 32)
            ]
        )
        if self._output == OUTPUT:
            scores = 1 / (1 + np.exp(-scores))
        return np.asarray(by_category(scores) if scores.shape[1] == CLASSES else scores, np.float64)


def best_windows(
    listener: Listener, sounds: Iterable[Sound], load: Load, condition: str = "clean"
) -> list[tuple[Sound, Scores, float]]:
    """Each recording with its best window by category, ``(3,)``, and its hours."""
    out = []
    for sound in sounds:
        samples = load(sound)
        changed = CONDITIONS[condition](samples, generator(sound.key, 999))
        out.append((sound, listener.scores(patches(changed)).max(0), len(samples) / RATE / 3600))
    return out


Judged = Sequence[tuple[Sound, Scores, float]]


def heard(judged: Judged, category: str) -> list[Heard]:
    """The recordings that count for a category: those with it, and the negatives."""
    column = CATEGORIES.index(category)
    return [
        Heard(float(scores[column]), sound.label == category, sound.group, sound.source, hours)
        for sound, scores, hours in judged
        if sound.label == category or sound.negative
    ]


def report(
    listener: Listener, sounds: Sequence[Sound], load: Load, conditions: Sequence[str]
) -> dict[str, object]:
    """Everything that is said of a graph: figures by category, source and condition, fireworks, games."""
    clean = best_windows(listener, sounds, load)
    guns = heard(clean, "gunfire")
    negatives = np.array([one.score for one in guns if not one.positive])
    hours = sum(one.hours for one in guns if not one.positive)
    at = threshold_for(negatives, hours, 1.0)
    shots = [sound for sound in sounds if sound.label == "gunfire"]
    by_condition = {
        name: _over([scores for _, scores, _ in best_windows(listener, shots, load, name)], at)
        for name in conditions
    }
    return {
        "gunfire": figures(guns),
        "scream": figures(heard(clean, "scream")),
        "threshold_at_1_an_hour": round(at, 4),
        "recall_by_condition": by_condition,
        "over_threshold_by_source": _by_source(clean, at),
        "scores": {sound.key: [round(float(score), 4) for score in scores] for sound, scores, _ in clean},
    }


def _over(scores: Sequence[Scores], at: float) -> float:
    return round(float(np.mean([one[0] > at for one in scores])), 4) if scores else float("nan")


def _by_source(judged: Judged, at: float) -> dict[str, list[int]]:
    """Of each label and source: recordings over the threshold for gunfire, and recordings."""
    found: dict[str, list[int]] = {}
    for sound, scores, _ in judged:
        row = found.setdefault(f"{sound.label} {sound.source}", [0, 0])
        row[0] += int(scores[0] > at)
        row[1] += 1
    return dict(sorted(found.items()))
