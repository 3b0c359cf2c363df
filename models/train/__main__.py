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
from edge.detect.measures import roc_auc
from models.train.calibrate import choose_thresholds, platt
from models.train.export import write_fp32, write_int8, write_manifest, write_model
from models.train.features import clip_features
from models.train.folds import ClipLogits, held_out
from models.train.head import fit_head
from models.train.index import ROOT, SEED, Clip, data_digest, read_index, read_splits
from models.train.report import Row, as_numbers, rows
from models.train.samples import calibration_samples

console = Console()


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of the clips, in one order."""

    clips: list[Clip]
    violent: NDArray[np.bool_]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    folds: NDArray[np.str_]


def usable(clip: Clip) -> bool:
    """``point`` is one person in a narrow crop: its shape alone gives its label away."""
    return "/point/" not in clip.path


def read_table() -> Table:
    """The clips that are trained on and measured."""
    clips = [clip for clip in read_index() if usable(clip)]
    folds = read_splits()
    return Table(
        clips,
        np.array([clip.violent for clip in clips]),
        np.array([clip.group for clip in clips]),
        np.array([clip.source for clip in clips]),
        np.array([str(folds[clip.group]) for clip in clips]),
    )


def calibrate(logits: list[ClipLogits], violent: NDArray[np.bool_]) -> TierCalibration:
    """Both tiers, each on its own windows."""
    return TierCalibration(
        calm=platt([clip.samples for clip in logits], violent),
        alert=platt([clip.dense for clip in logits], violent),
    )


def best(logits: list[ClipLogits], calibration: TierCalibration, tier: str) -> NDArray[np.float64]:
    """Each clip's best probability: ``calm`` or ``dense`` windows, or the ``persistent`` score."""
    judge = calibration.calm if tier == "calm" else calibration.alert
    return np.array([judge.probability(float(np.max(getattr(clip, tier)))) for clip in logits])


def measure(table: Table, logits: list[ClipLogits], protocol: str, calibration: TierCalibration) -> list[Row]:
    """Figures of the clips' mean dense window score."""
    scores = np.array(
        [np.mean([calibration.alert.probability(float(x)) for x in clip.dense]) for clip in logits]
    )
    found = rows(protocol, table.violent, scores, table.groups, table.sources)
    peak = best(logits, calibration, "dense")
    first = best(logits, calibration, "calm")
    for row in found:
        console.print(str(row))
    console.print(f"{protocol} AUC of the best window {roc_auc(table.violent, peak):.3f}")
    console.print(f"{protocol} AUC of the calm tier's best sample {roc_auc(table.violent, first):.3f}")
    return found


def main(
    output: Annotated[Path, typer.Option(help="Where model and manifest go.")] = ROOT / "models",
    version: Annotated[str, typer.Option(help="Version written into the manifest.")] = "3",
    threads: Annotated[int, typer.Option(help="Threads of torch.", min=1)] = 1,
    compare: Annotated[bool, typer.Option(help="Measure the float graph as well.")] = False,
) -> None:
    """Decodes, embeds, fits, measures out of fold, calibrates, exports. Resumes from its cache."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    table = read_table()
    fp32 = write_fp32()
    int8 = write_int8(fp32, calibration_samples(table.clips))
    features = clip_features(table.clips, int8, "int8 embeddings")

    folded = held_out(features, table.violent, table.sources, table.folds)
    calibration = calibrate(folded, table.violent)
    found = measure(table, folded, "oof", calibration)
    found += measure(
        table, held_out(features, table.violent, table.sources, table.sources), "held_out", calibration
    )
    if compare:
        floats = clip_features(table.clips, fp32, "fp32 embeddings")
        measure(table, held_out(floats, table.violent, table.sources, table.folds), "fp32", calibration)

    calm, dense, persistent = (best(folded, calibration, tier) for tier in ("calm", "dense", "persistent"))
    thresholds = choose_thresholds(calm, dense, persistent, table.violent)
    console.print(f"thresholds {thresholds}")
    for name, scores, limit in (
        ("raised", calm, thresholds.raise_tier),
        ("flagged", dense, thresholds.flag),
        ("cut", persistent, thresholds.cut),
    ):
        over = scores >= limit
        console.print(
            f"{name}: {over[table.violent].mean():.3f} of violent clips, {over[~table.violent].sum()} "
            f"of {(~table.violent).sum()} calm clips"
        )

    head = fit_head(features, table.violent, table.sources)
    model = output / "fight-lite0-int8.onnx"
    write_model(int8, head, model)
    write_manifest(
        output,
        model,
        version=version,
        head=head,
        calibration=calibration,
        thresholds=thresholds,
        data_digest=data_digest(table.clips),
        measured=as_numbers(found),
    )
    console.print(f"{model}: {model.stat().st_size} bytes")


if __name__ == "__main__":
    typer.run(main)
