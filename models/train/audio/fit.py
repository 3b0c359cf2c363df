"""Fits a student to the teacher's word: soft targets, hard zeros for calm audio, sources balanced."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from models.train.audio.cache import Windows
from models.train.audio.index import Sound
from models.train.audio.network import Design, Student, trained
from models.train.audio.teacher import Floats, by_category, targets
from models.train.progress import Epoch


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a student is fitted."""

    design: Design = Design.CUT_15
    frozen: bool = True
    """The teacher's first layers stay as they are. Then an epoch costs a fifth."""
    epochs: int = 12
    steps: int = 150
    batch: int = 64
    rate: float = 1e-3
    lift: float = 0.5
    """See ``teacher.targets``."""
    classes: float = 0.3
    """Weight of the teacher's 521 classes in the loss."""
    embedded: float = 0.1
    """Weight of its embedding."""
    passes: int = 4
    seed: int = 1


LABEL_WEIGHTS = {"gunfire": 0.35, "scream": 0.08, "fireworks": 0.06, "game": 0.13, "film": 0.03, "calm": 0.35}
"""Share of the batches by label. Within a label each source counts by the root of its windows."""


def shares(sounds: Sequence[Sound], sound_of: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """How likely each window is drawn. Sums to 1."""
    keys = [(sounds[at].label, sounds[at].source) for at in sound_of]
    counts: dict[tuple[str, str], int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    roots: dict[str, float] = {}
    for (label, _), count in counts.items():
        roots[label] = roots.get(label, 0.0) + count**0.5
    each = {
        (label, source): LABEL_WEIGHTS[label] / roots[label] / count**0.5
        for (label, source), count in counts.items()
    }
    drawn = np.array([each[key] for key in keys])
    return drawn / drawn.sum()


def wanted(sounds: Sequence[Sound], windows: Windows, lift: float) -> Floats:
    """Targets of all windows, ``(N, 3)``."""
    taught = by_category(windows.scores.astype(np.float32))
    out = np.empty_like(taught)
    labels = np.array([sounds[at].label for at in windows.sound])
    for label in np.unique(labels):
        out[labels == label] = targets(str(label), taught[labels == label], lift)
    return out


def fit(
    recipe: Recipe,
    sounds: Sequence[Sound],
    windows: Windows,
    teacher: dict[str, Floats],
    checkpoint: Path,
    device: str,
    told: Callable[[Epoch], None],
) -> Student:
    """Fits a student, or goes on with the one in ``checkpoint``. Returns the running mean of its weights."""
    torch.manual_seed(recipe.seed)
    net = Student(recipe.design, teacher).to(device)
    fitted = trained(net, frozen=recipe.frozen)
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    )
    optimiser = torch.optim.AdamW(fitted, recipe.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, total_steps=recipe.epochs * recipe.steps + 1, pct_start=0.15
    )
    number = _resume(checkpoint, recipe, net, mean, optimiser, schedule, device)
    inputs = windows.middle if recipe.frozen else windows.patches
    drawn = shares(sounds, windows.sound)
    answers = wanted(sounds, windows, recipe.lift)
    while number < recipe.epochs:
        began, total = time.monotonic(), 0.0
        rng = np.random.default_rng([recipe.seed, number])
        net.train()
        for _ in range(recipe.steps):
            at = rng.choice(len(drawn), recipe.batch, p=drawn)
            some = [
                torch.from_numpy(part[at].astype(np.float32)).to(device)
                for part in (inputs, answers, windows.scores, windows.embedding)
            ]
            loss = _loss(net, recipe, *some)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            mean.update_parameters(net)
            total += float(loss.detach())
        number += 1
        _save(checkpoint, recipe, net, mean, optimiser, schedule, number)
        told(Epoch(number, total / recipe.steps, time.monotonic() - began))
    best: Student = mean.module
    return best.eval()


def _loss(
    net: Student,
    recipe: Recipe,
    inputs: torch.Tensor,
    answers: torch.Tensor,
    classes: torch.Tensor,
    embedding: torch.Tensor,
) -> torch.Tensor:
    hidden = net.dropout(net.embedding(inputs if recipe.frozen else net.middle(inputs)))
    loss = functional.binary_cross_entropy_with_logits(net.heads(hidden), answers)
    aside = functional.binary_cross_entropy_with_logits(net.classes(hidden), classes)
    near = functional.mse_loss(net.embedded(hidden), torch.log1p(embedding))
    return loss + recipe.classes * 10 * aside + recipe.embedded * near


def _save(
    checkpoint: Path, recipe: Recipe, net: Student, mean: Any, optimiser: Any, schedule: Any, number: int
) -> None:
    part = checkpoint.with_suffix(".part")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "recipe": json.dumps(asdict(recipe)),
            "number": number,
            "net": net.state_dict(),
            "mean": mean.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
        },
        part,
    )
    part.rename(checkpoint)


def _resume(
    checkpoint: Path, recipe: Recipe, net: Student, mean: Any, optimiser: Any, schedule: Any, device: str
) -> int:
    """Loads a checkpoint of the same recipe. Returns how many epochs it has."""
    if not checkpoint.exists():
        return 0
    kept = torch.load(checkpoint, map_location=device, weights_only=True)
    if kept["recipe"] != json.dumps(asdict(recipe)):
        raise ValueError(f"{checkpoint} is of another recipe: {kept['recipe']}. Delete it or choose a --name")
    net.load_state_dict(kept["net"])
    mean.load_state_dict(kept["mean"])
    optimiser.load_state_dict(kept["optimiser"])
    schedule.load_state_dict(kept["schedule"])
    return int(kept["number"])


def read_student(checkpoint: Path, teacher: dict[str, Floats]) -> tuple[Student, Recipe]:
    """The running mean of a checkpoint's student, with its recipe."""
    kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
    recipe = Recipe(**{**json.loads(kept["recipe"])})
    net = Student(Design(recipe.design), teacher)
    mean = torch.optim.swa_utils.AveragedModel(net)
    mean.load_state_dict(kept["mean"])
    best: Student = mean.module
    return best.eval(), recipe
