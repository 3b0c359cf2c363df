"""``python -m models.sight_report``: what the shipped firearm model sees of sources that it never saw.

The shipped file scores the test images of ``../shared/data/sight`` in the gate's own scaling. No training
and no choice has used them. Intervals are 95 %. The goals name film stills. None are at hand: photographs
with firearms stand for them, beside people who hold something else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import av
import numpy as np
import typer

from edge.detect import default_model_directory, read_pack
from edge.detect.sight.frame_model import FrameModel
from edge.errors import NotFound
from models.train.goals import Goal
from models.train.index import DATA
from models.train.sight.index import Picture, read_pictures
from models.train.sight.measures import Values, summary

AUC: Final = 0.92
RECALL: Final = 0.55
GAMES: Final = 0.02


def seen(model: FrameModel, pictures: Sequence[Picture]) -> Values:
    """Scores frames with the shipped model, as log-odds, float64 ``(N,)``."""
    scores = [
        model.infer(
            model.picture(av.VideoFrame.from_ndarray(np.asarray(picture.open(), np.uint8), format="rgb24"))
        )["firearm"]
        for picture in pictures
    ]
    bounded = np.clip(np.array(scores, np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(bounded / (1 - bounded)))


def goals(figures: dict[str, Any]) -> list[Goal]:
    """The goals of sight, from ``summary``."""
    auc, recall, games = figures["auc"], figures["recall"]["95%"], figures["games_over"]["95%"]
    of = f"{figures['firearms']} photographs with firearms, {figures['negatives']} of other things in hands"
    return [
        Goal(f"firearm: AUC ({of})", f">= {AUC}", _interval(auc), auc[0] >= AUC),
        Goal("firearm: recall at 95 % specificity", f">= {RECALL}", _interval(recall), recall[0] >= RECALL),
        Goal(
            f"firearm: game screenshots over that point (of {figures['games']})",
            f"<= {GAMES}",
            _interval(games),
            games[0] <= GAMES,
        ),
    ]


def _interval(values: Sequence[float]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*values)


def main(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Reports goals and figures of the shipped firearm model on sources that it never saw."""
    if not (DATA / "sight").is_dir():
        raise SystemExit(str(NotFound("pictures", str(DATA / "sight"))))
    model = FrameModel.of(read_pack(default_model_directory()))
    if model is None or "firearm" not in model.categories:
        raise SystemExit("the shipped pack has no firearm model")
    pictures = [picture for picture in read_pictures() if picture.role == "test"]
    figures = summary(pictures, seen(model, pictures))
    rows = goals(figures)
    if as_json:
        json.dump({"goals": [asdict(row) for row in rows], "figures": figures}, sys.stdout, indent=1)
        print()
        return
    print("| measure | goal | measured | |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.measure} | {row.goal} | {row.measured} | {'met' if row.met else 'missed'} |")
    print("\n| weapon's size | frames | over the 95 % point | over the 99 % point |\n|---|---|---|---|")
    for size, part in figures["by_size"].items():
        print(f"| {size} | {part['frames']} | {part['over_95%']:.2f} | {part['over_99%']:.2f} |")


if __name__ == "__main__":
    typer.run(main)
