"""Which cached views a batch holds: fixed shares of labels, and sources of one label balanced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.train.sight.index import Label, Picture

BATCH = 32
SHARES: dict[Label, float] = {"firearm": 0.4, "game": 0.22, "tool": 0.14, "knife": 0.08, "calm": 0.16}
"""Shares of a batch. Sources of one label have equal parts, up to ``MOST_OF_SOURCE`` times their size."""
MOST_OF_SOURCE = 3.0


@dataclass(frozen=True, slots=True)
class View:
    """One cached view. The view numbered 0 shows the whole image."""

    picture: int
    """Index in the list of images."""
    number: int
    upright: bool
    row: int
    """Row in the array of its shape."""


@dataclass(frozen=True, slots=True)
class Views:
    """The cached views, and what the frozen blocks see of them."""

    views: list[View]
    features: dict[bool, NDArray[np.float16]]
    """By ``upright``: ``(N, 112, h, w)``."""


class Drawn:
    """Draws batches with fixed shares of labels, and sources of one label balanced."""

    def __init__(
        self, pictures: Sequence[Picture], views: Views, learns: Callable[[Picture], bool], altered: bool
    ) -> None:
        self._views = [
            view for view in views.views if learns(pictures[view.picture]) and (altered or not view.number)
        ]
        labels = np.array([pictures[view.picture].label for view in self._views])
        sources = np.array([pictures[view.picture].source for view in self._views])
        self._weights: NDArray[np.float64] = np.zeros(len(self._views))
        for label, share in SHARES.items():
            inside = labels == label
            names, counts = np.unique(sources[inside], return_counts=True)
            parts = np.minimum(1.0 / len(names), MOST_OF_SOURCE * counts / counts.sum())
            for name, count, part in zip(names, counts, parts / parts.sum(), strict=True):
                self._weights[inside & (sources == name)] = share * part / count
        self._weights /= self._weights.sum()

    def batch(self, rng: np.random.Generator) -> list[View]:
        return [self._views[at] for at in rng.choice(len(self._views), BATCH, p=self._weights)]
