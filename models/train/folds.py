"""Scores clips with heads that did not see them: out of fold, and with their whole source held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from edge.decide.belief import Belief
from edge.detect.manifest import TierCalibration
from edge.policy import BeliefPolicy
from models.train.head import HALF_WINDOW, WINDOW_SAMPLES, Features, Head, Labels, fit_head, live_spans
from models.train.sampling import STEP_MS

GOP_MS = 2000
"""Interval of keyframes that the calm-tier figures assume."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClipLogits:
    """Raw scores of one clip in both tiers."""

    samples: Values
    """``(S,)``, every dense sample."""
    windows: Values
    """``(S,)``, the alert-tier window that ends at each sample. The first window has one sample."""

    @property
    def calm(self) -> Values:
        """The samples that the calm tier takes: one at the start of every GOP."""
        return self.samples[:: GOP_MS // STEP_MS]

    @property
    def dense(self) -> Values:
        """Windows that are at least half full, for calibration. The last window if there is none."""
        return self.windows[min(HALF_WINDOW, len(self.windows)) - 1 :]

    def live(self, calibration: TierCalibration) -> Values:
        """Probabilities ``(S,)`` sample by sample, as a stream in the alert tier gets them."""
        return np.array([calibration.alert.probability(float(raw)) for raw in self.windows])


def beliefs(live: Values, policy: BeliefPolicy) -> Values:
    """The belief after each live window ``(S,)``, as a stream in the alert tier gathers it."""
    belief = Belief(policy)
    return np.array(
        [
            belief.add_window(index * STEP_MS, float(score), min(index + 1, WINDOW_SAMPLES))
            for index, score in enumerate(live)
        ]
    )


def score_clip(head: Head, features: Features) -> ClipLogits:
    """Scores one clip with a head."""
    samples = head.sample_logits(features).astype(np.float64)
    return ClipLogits(samples, head.window_logits(features, live_spans(len(features))))


def held_out(
    features: list[Features],
    violent: Labels,
    sources: NDArray[np.str_],
    part_of: NDArray[np.str_],
    *judged: list[Features],
) -> list[list[ClipLogits]]:
    """Scores each clip with a head that saw no clip of its part.

    Returns one list for ``features``, and one for each of ``judged``, which hold other embeddings of the
    same clips.
    """
    versions = (features, *judged)
    logits: list[dict[int, ClipLogits]] = [{} for _ in versions]
    for part in track(np.unique(part_of), description="held out"):
        train = np.flatnonzero(part_of != part)
        head = fit_head([features[index] for index in train], violent[train], sources[train])
        for index in np.flatnonzero(part_of == part):
            for version, scored in zip(versions, logits, strict=True):
                scored[int(index)] = score_clip(head, version[index])
    return [[scored[index] for index in range(len(features))] for scored in logits]
