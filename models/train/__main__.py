"""``python -m models.train``: trains the shipped model from the labelled clips, in one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track

from edge.detect.manifest import TierCalibration
from models.train.calibrate import BELIEF, chosen, platt
from models.train.export import write_fp32, write_int8, write_manifest, write_model
from models.train.features import clip_features
from models.train.folds import ClipLogits, beliefs, held_out
from models.train.head import fit_head
from models.train.index import ROOT, SEED, Clip, data_digest, read_index, read_splits
from models.train.report import aucs, print_report
from models.train.samples import calibration_samples, clip_samples, motion
from models.train.sampling import STEP_MS
from models.train.scores import SCORES_NAME, ClipScore, write_scores


@dataclass(frozen=True, slots=True)
class Table:
    """The clips and their columns, all in the same order."""

    clips: list[Clip]
    violent: NDArray[np.bool_]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    folds: NDArray[np.str_]
    motion: list[float]
    """Mean motion in each clip's crops."""


def usable(clip: Clip) -> bool:
    """Whether a clip may be used. ``point`` shows one person in a narrow crop: its shape alone reveals the
    label."""
    return "/point/" not in clip.path


def read_table() -> Table:
    """The clips for training and measurement."""
    clips = [clip for clip in read_index() if usable(clip)]
    folds = read_splits()
    return Table(
        clips,
        np.array([clip.violent for clip in clips]),
        np.array([clip.group for clip in clips]),
        np.array([clip.source for clip in clips]),
        np.array([str(folds[clip.group]) for clip in clips]),
        [round(motion(clip_samples(clip)), 3) for clip in track(clips, description="motion")],
    )


def calibrate(*protocols: list[ClipLogits], violent: NDArray[np.bool_]) -> TierCalibration:
    """Calibrates both tiers, each on its own windows, over every protocol that scored the clips."""
    logits = [clip for protocol in protocols for clip in protocol]
    labels = np.tile(violent, len(protocols))
    return TierCalibration(
        calm=platt([clip.samples for clip in logits], labels),
        alert=platt([clip.dense for clip in logits], labels),
    )


def clip_scores(table: Table, logits: list[ClipLogits], calibration: TierCalibration) -> list[ClipScore]:
    """Summarises each clip's live windows."""
    scores = []
    for clip, moved, raw in zip(table.clips, table.motion, logits, strict=True):
        live = raw.live(calibration)
        scores.append(
            ClipScore(
                path=clip.path,
                source=clip.source,
                group=clip.group,
                violent=clip.violent,
                motion=moved,
                mean=round(float(live.mean()), 5),
                peak=round(float(live.max()), 5),
                calm_tier=round(calibration.calm.probability(float(raw.calm.max())), 5),
                belief=round(float(beliefs(live, BELIEF).max()), 5),
                seconds=round(len(live) * STEP_MS / 1000, 1),
            )
        )
    return scores


def main(
    output: Annotated[Path, typer.Option(help="Where model and manifest go.")] = ROOT / "models",
    version: Annotated[str, typer.Option(help="Version written into the manifest.")] = "4",
    threads: Annotated[int, typer.Option(help="Threads of torch.", min=1)] = 1,
    compare: Annotated[
        bool, typer.Option(help="Measure the float graph and clips shaken as by hand as well.")
    ] = False,
) -> None:
    """Decodes, embeds, fits, measures out of fold, calibrates and exports. Resumes from its cache."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    table = read_table()
    fp32 = write_fp32()
    int8 = write_int8(fp32, calibration_samples(table.clips))
    features = clip_features(table.clips, int8, "int8 embeddings")

    shaken = [clip_features(table.clips, int8, "int8 embeddings, shaken", shake=True)] if compare else []
    folded, *folded_shaken = held_out(features, table.violent, table.sources, table.folds, *shaken)
    (unseen,) = held_out(features, table.violent, table.sources, table.sources)
    calibration = calibrate(folded, unseen, violent=table.violent)
    protocols = {"oof": clip_scores(table, folded, calibration)}
    if compare:
        floats = clip_features(table.clips, fp32, "fp32 embeddings")
        (twin,) = held_out(floats, table.violent, table.sources, table.folds)
        protocols["oof_fp32"] = clip_scores(table, twin, calibration)
        protocols["oof_shaken"] = clip_scores(table, folded_shaken[0], calibration)
    protocols["held_out"] = clip_scores(table, unseen, calibration)

    measured = protocols["oof"] + protocols["held_out"]
    thresholds, belief = chosen(measured)

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
        belief=belief,
        data_digest=data_digest(table.clips),
        measured=aucs(protocols),
    )
    write_scores(output / SCORES_NAME, thresholds, protocols)
    print_report(thresholds, protocols)


if __name__ == "__main__":
    typer.run(main)
