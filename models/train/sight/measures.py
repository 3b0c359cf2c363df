"""How well logits tell images of firearms from others. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.detect.measures import roc_auc
from edge.intervals import bootstrap, wilson
from models.train.sight.index import Picture

Values = NDArray[np.float64]
SIZES = (0.0, 0.12, 0.25, 0.5, 0.88, 1.01)
"""Bounds of the weapon's size: the root of its box's share of the image."""
ROUNDS = 400


def threshold_at(negatives: Values, specificity: float) -> float:
    """The lowest threshold that at most ``1 - specificity`` of the negatives reach."""
    ordered = np.sort(negatives)[::-1]
    allowed = int(np.floor((1 - specificity) * len(ordered) + 1e-9))
    return float(np.nextafter(ordered[allowed], np.inf)) if allowed < len(ordered) else -np.inf


def recall_at(labels: NDArray[np.bool_], scores: Values, specificity: float) -> float:
    """Share of the positives over the threshold at a specificity."""
    if labels.all() or not labels.any():
        return float("nan")
    return float((scores[labels] >= threshold_at(scores[~labels], specificity)).mean())


def summary(pictures: Sequence[Picture], logits: Values) -> dict[str, Any]:
    """Figures of unseen images. Games are left out of the negatives, and counted beside."""
    firearm = np.array([picture.firearm for picture in pictures])
    game = np.array([picture.label == "game" for picture in pictures])
    groups = np.array([picture.group for picture in pictures], dtype=np.str_)
    # A source without groups would be one draw of the bootstrap: its images stand for themselves.
    groups = np.array(
        [
            f"{name}-{at}" if picture.source in ("guns333", "game-cs2") or name == "sofwerx" else name
            for at, (name, picture) in enumerate(zip(groups, pictures, strict=True))
        ],
        dtype=np.str_,
    )
    plain = ~game
    limits = {f"{s:.0%}": threshold_at(logits[plain & ~firearm], s) for s in (0.95, 0.99)}
    figures: dict[str, Any] = {
        "firearms": int(firearm.sum()),
        "negatives": int((plain & ~firearm).sum()),
        "games": int(game.sum()),
        "auc": list(bootstrap(roc_auc, firearm[plain], logits[plain], groups[plain], ROUNDS)),
        "auc_against_games": roc_auc(firearm[firearm | game], logits[firearm | game]),
        "recall": {},
        "games_over": {},
        "by_source": {},
        "by_size": {},
    }
    for name, limit in limits.items():
        over = logits >= limit
        figures["recall"][name] = [
            float(over[firearm].mean()),
            *wilson(int(over[firearm].sum()), int(firearm.sum())),
        ]
        if game.any():
            figures["games_over"][name] = [
                float(over[game].mean()),
                *wilson(int(over[game].sum()), int(game.sum())),
            ]
    for source in sorted({picture.source for picture in pictures}):
        inside = np.array([picture.source == source for picture in pictures])
        figures["by_source"][source] = {
            "pictures": int(inside.sum()),
            **{f"over_{name}": float((logits[inside] >= limit).mean()) for name, limit in limits.items()},
        }
    boxes = np.array([picture.box if picture.box is not None else np.nan for picture in pictures])
    for low, high in pairwise(SIZES):
        inside = (boxes >= low) & (boxes < high)
        if inside.any():
            figures["by_size"][f"{low:g}-{high:g}"] = {
                "pictures": int(inside.sum()),
                **{f"over_{name}": float((logits[inside] >= limit).mean()) for name, limit in limits.items()},
            }
    return figures
