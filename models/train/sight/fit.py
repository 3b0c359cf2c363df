"""Fits the trained blocks and the head on cached views. Stops and resumes at any epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.train.progress import Epoch
from models.train.sight.drawn import BATCH, Drawn, Views
from models.train.sight.index import Picture
from models.train.sight.network import Pooling, Sight

SEED = 20261129
SMOOTHING = 0.03
DECAY = 0.02
AVERAGED = 0.98
"""Decay of the running mean of the weights. The mean is what is measured and shipped."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides how a network is fitted."""

    pooling: Pooling = "mean"
    epochs: int = 4
    steps: int = 100
    """Batches of an epoch."""
    rate: float = 4e-4
    """Highest learning rate of the blocks. The head's is three times as high."""
    altered: bool = True
    """Whether altered views are learnt from. Otherwise only whole images are."""


def fit(
    recipe: Recipe,
    pictures: Sequence[Picture],
    views: Views,
    learns: Callable[[Picture], bool],
    checkpoint: Path,
    device: str = "cpu",
    told: Callable[[Epoch], None] = lambda _: None,
) -> Sight:
    """Fits a network on the images that ``learns`` accepts, and returns the mean of its weights.

    Every epoch is kept in ``checkpoint``. A second call with the same recipe goes on from there.
    """
    torch.manual_seed(SEED)
    net = Sight(recipe.pooling).to(device)
    mean = Sight(recipe.pooling).to(device)
    blocks = [p for p in net.upper.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": blocks}, {"params": net.score.parameters(), "lr": recipe.rate * 3}],
        lr=recipe.rate,
        weight_decay=DECAY,
    )
    highest = [recipe.rate, recipe.rate * 3]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, highest, total_steps=recipe.epochs * recipe.steps, pct_start=0.15
    )
    drawn = Drawn(pictures, views, learns, recipe.altered)
    begun = 0
    if checkpoint.exists():
        kept = torch.load(checkpoint, map_location=device, weights_only=True)
        if kept["recipe"] == json.dumps(asdict(recipe)):
            net.load_state_dict(kept["net"])
            mean.load_state_dict(kept["mean"])
            optimiser.load_state_dict(kept["optimiser"])
            schedule.load_state_dict(kept["schedule"])
            begun = int(kept["epochs"])
    dropout = nn.Dropout2d(0.2)
    for number in range(begun, recipe.epochs):
        net.upper.train()
        rng = np.random.default_rng([SEED, number])
        started, losses = time.monotonic(), []
        for _ in range(recipe.steps):
            total = torch.zeros((), device=device)
            chosen = drawn.batch(rng)
            for upright in (False, True):
                rows = [view for view in chosen if view.upright is upright]
                if not rows:
                    continue
                seen = torch.from_numpy(views.features[upright][[view.row for view in rows]])
                x = seen.to(device).float()
                flipped = torch.from_numpy(rng.random(len(rows)) < 0.5).to(device)
                x = torch.where(flipped[:, None, None, None], x.flip(3), x)
                firearm = torch.tensor([float(pictures[view.picture].firearm) for view in rows])
                wanted = firearm.to(device) * (1 - 2 * SMOOTHING) + SMOOTHING
                logits = net.score(dropout(net.upper(x)))[:, 0]
                total = total + nn.functional.binary_cross_entropy_with_logits(
                    logits, wanted, reduction="sum"
                )
            loss = total / len(chosen)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss))
            _average(mean, net)
        kept = {
            "recipe": json.dumps(asdict(recipe)),
            "net": net.state_dict(),
            "mean": mean.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "epochs": number + 1,
        }
        part = checkpoint.with_suffix(".part")
        torch.save(kept, part)
        part.rename(checkpoint)
        told(Epoch(number + 1, float(np.mean(losses)), time.monotonic() - started))
    return mean.eval()


def scores(
    net: Sight,
    pictures: Sequence[Picture],
    views: Views,
    wanted: Callable[[Picture], bool],
    device: str = "cpu",
) -> tuple[list[int], NDArray[np.float32]]:
    """Indices and logits of the whole images that ``wanted`` accepts."""
    indices: list[int] = []
    found: list[Tensor] = []
    for upright in (False, True):
        rows = [
            view
            for view in views.views
            if view.upright is upright and not view.number and wanted(pictures[view.picture])
        ]
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            x = torch.from_numpy(views.features[upright][[view.row for view in part]]).to(device).float()
            with torch.no_grad():
                found.append(net.score(net.upper(x))[:, 0].cpu())
            indices += [view.picture for view in part]
    return indices, torch.cat(found).numpy()


def _average(mean: Sight, net: Sight) -> None:
    with torch.no_grad():
        for kept, fresh in zip(mean.parameters(), net.parameters(), strict=True):
            kept.lerp_(fresh, 1 - AVERAGED)
