"""``python -m models.train``: from the labelled clips to the shipped model, in one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console

from edge.detect.manifest import TierCalibration
from edge.detect.measures import average_precision, bootstrap, recall_at_precision, roc_auc
from models.train.cache import cached_planes
from models.train.calibrate import choose_thresholds, platt
from models.train.export import assemble, write_manifest, write_model
from models.train.features import clip_features
from models.train.head import SEED, Features, Head, fit_head, spans
from models.train.index import DATA, FOLDS, ROOT, Clip, data_digest, read_index, read_splits
from models.train.sampling import triples

SIZE = 224
PERSIST = 3
"""Alert-tier samples over ``cut`` that the policy wants before it cuts."""

console = Console()


@dataclass(frozen=True, slots=True)
class Scores:
    """Out-of-fold raw window scores of one clip."""

    sample_mean: float
    calm: float
    """Best window of one sample."""
    alert: float
    """Best full window."""
    persistent: float
    """Best score that ``PERSIST`` windows in a row reach."""


def score_clip(head: Head, features: Features) -> Scores:
    """What the live path would make of the clip on either tier, before calibration."""
    embeddings = head.embed(features)
    samples = len(embeddings)
    windows = np.array(head.window_logits(embeddings, spans(samples)))
    singles = head.window_logits(embeddings, [(i, i + 1) for i in range(samples)])
    runs = [windows[i : i + PERSIST].min() for i in range(max(samples - PERSIST + 1, 1))]
    logits = head.sample_logits(embeddings)
    return Scores(float(logits.mean()), singles[0], float(windows.max()), float(max(runs)))


def usable(clip: Clip) -> bool:
    """``point`` is one person in a narrow crop: its shape alone gives its label away."""
    return "/point/" not in clip.path


def out_of_fold(clips: list[Clip], features: list[Features], held_out: NDArray[np.int64]) -> list[Scores]:
    """Scores of each clip by a head that saw none of its fold."""
    violent = np.array([clip.violent for clip in clips])
    scores: list[Scores | None] = [None] * len(clips)
    for fold in np.unique(held_out):
        train = np.flatnonzero(held_out != fold)
        head = fit_head([features[i] for i in train], violent[train])
        for i in np.flatnonzero(held_out == fold):
            scores[i] = score_clip(head, features[i])
    return [score for score in scores if score is not None]


def calibration_samples(clips: list[Clip], size: int, count: int = 200) -> list[NDArray[np.uint8]]:
    """Planes of one random sample from each of evenly spread clips."""
    random = np.random.default_rng(SEED)
    samples = []
    for clip in clips[:: max(1, len(clips) // count)]:
        planes = cached_planes(clip.key, DATA / clip.path, size)
        indices = triples(planes.pts_ms)
        samples.append(np.array(planes.planes[indices[random.integers(len(indices))]]))
    return samples


def main(
    output: Annotated[Path, typer.Option(help="Where model and manifest go.")] = ROOT / "models",
    threads: Annotated[int, typer.Option(help="Threads of torch.", min=1)] = 1,
) -> None:
    """Trains, measures out of fold, quantises, exports."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    clips = [clip for clip in read_index() if usable(clip)]
    folds = read_splits()
    features = clip_features(clips, SIZE)
    violent = np.array([clip.violent for clip in clips])
    groups = np.array([clip.group for clip in clips])
    sources = np.array([clip.source for clip in clips])
    scores = out_of_fold(clips, features, np.array([folds[clip.group] for clip in clips]))

    ones = np.ones(len(clips))
    raw = {
        name: np.array([getattr(score, name) for score in scores])
        for name in ("sample_mean", "calm", "alert", "persistent")
    }
    sample = platt(raw["sample_mean"], violent, ones)
    window = TierCalibration(calm=platt(raw["calm"], violent, ones), alert=platt(raw["alert"], violent, ones))
    calm = np.array([window.calm.probability(x) for x in raw["calm"]])
    alert = np.array([window.alert.probability(x) for x in raw["alert"]])
    persistent = np.array([window.alert.probability(x) for x in raw["persistent"]])
    thresholds = choose_thresholds(calm, alert, persistent, violent)

    measured = {"folds": float(FOLDS)}
    for source in ("all", "surveillance-fights", "ut-interaction"):
        inside = np.ones(len(clips), bool) if source == "all" else sources == source
        for name, measure in (
            ("auc", roc_auc),
            ("average_precision", average_precision),
            ("recall_at_precision_80", lambda y, s: recall_at_precision(y, s, 0.8)),
        ):
            figure = bootstrap(measure, violent[inside], alert[inside], groups[inside])
            console.print(f"out of fold, {source}, {name}: {figure}")
            for part in ("value", "low", "high"):
                measured[f"oof.{source}.{name}.{part}"] = round(getattr(figure, part), 4)
        rest = out_of_source(features, violent, inside) if source != "all" else None
        if rest is not None:
            figure = bootstrap(roc_auc, violent[inside], rest, groups[inside])
            console.print(f"source held out whole, {source}, auc: {figure}")
            measured[f"held_out.{source}.auc.value"] = round(figure.value, 4)

    head = fit_head(features, violent)
    model = output / "fight-lite0-int8.onnx"
    write_model(assemble(head, SIZE), SIZE, calibration_samples(clips, SIZE), model)
    write_manifest(
        output,
        model,
        size=SIZE,
        version="1",
        head=head,
        sample=sample,
        window=window,
        thresholds=thresholds,
        data_digest=data_digest(clips),
        measured=measured,
    )
    console.print(f"{model}: {model.stat().st_size} bytes; thresholds {thresholds}")


def out_of_source(
    features: list[Features], violent: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Alert-tier scores of one source's clips by a head that saw nothing of the source."""
    train = np.flatnonzero(~inside)
    head = fit_head([features[i] for i in train], violent[train])
    return np.array([score_clip(head, features[i]).alert for i in np.flatnonzero(inside)])


if __name__ == "__main__":
    typer.run(main)
