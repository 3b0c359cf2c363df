"""``python -m models.train.sight``: trains the model that sees firearms in single images.

On one core, estimated and not measured: ``prepare`` takes 4 minutes of processor time for its four passes,
``train`` about one minute for 100 batches. Each step goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from models.train.index import DATA, ROOT
from models.train.progress import Epoch, checkpoint, print_figures, tell_epoch
from models.train.sight import cache
from models.train.sight.calm import watch
from models.train.sight.export import Seer, write_model
from models.train.sight.fit import Recipe, fit, scores
from models.train.sight.index import Picture, read_pictures
from models.train.sight.measures import summary
from models.train.sight.network import Pooling, Sight
from models.train.sight.ship import ship as ship_model

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

Art = Annotated[
    Path | None, typer.Option(help="Folder with images of games (icons, menus, scenes), as negatives.")
]
Name = Annotated[str, typer.Option(help="Names the checkpoint and what is written.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Device = Annotated[str, typer.Option(help="Where torch computes: cpu or cuda.")]


class Learns(StrEnum):
    """What a network learns from."""

    TRAIN = "train"
    """Training sources: to compare designs on the validation sources."""
    REPORT = "report"
    """Training and validation sources: for the figures on the test sources."""
    SHIP = "ship"
    """All but the validation clips, on which thresholds are chosen."""

    def takes(self, picture: Picture) -> bool:
        if self is Learns.TRAIN:
            return picture.role == "train"
        threshold_clip = picture.role == "validation" and picture.frame_s is not None
        return not threshold_clip and (self is Learns.SHIP or picture.role != "test")


def judged(learns: Learns) -> Callable[[Picture], bool]:
    """The images that a network of this kind is measured on."""
    role = "validation" if learns is Learns.TRAIN else "test"
    return lambda picture: picture.role == role


@app.command()
def prepare(
    art: Art = None, passes: Annotated[int, typer.Option(min=1, max=cache.PASSES)] = cache.PASSES
) -> None:
    """Computes the frozen blocks' output of every view. Resumes."""
    torch.set_num_threads(1)
    cache.prepare(read_pictures(art=art), passes)


@app.command()
def train(
    name: Name = "sight",
    learns: Learns = Learns.TRAIN,
    pooling: Annotated[str, typer.Option(help="mean or peak.")] = "mean",
    epochs: Annotated[int, typer.Option(min=1)] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Batches of an epoch.")] = 100,
    rate: Annotated[
        float, typer.Option(min=0, help="Learning rate of the blocks. 0: the head alone.")
    ] = 4e-4,
    whole: Annotated[bool, typer.Option("--whole", help="Learn from whole images alone.")] = False,
    art: Art = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Fits a network, keeps a checkpoint after every epoch, and measures the last one."""
    torch.set_num_threads(threads)
    pictures = read_pictures(art=art)
    recipe = Recipe(_pooling(pooling), epochs, steps, rate, altered=not whole)
    views = cache.load(pictures)

    def told(epoch: Epoch) -> None:
        tell_epoch(as_json, epoch, epochs)

    net = fit(recipe, pictures, views, learns.takes, checkpoint(cache.CACHE, name), device, told)
    indices, logits = scores(net, pictures, views, judged(learns), device)
    figures = summary([pictures[at] for at in indices], logits.astype(np.float64))
    print_figures({"name": name, "learns": learns, "recipe": asdict(recipe), **figures}, as_json)


@app.command()
def export(name: Name = "sight", output: Path = Path("firearm-lite0-int8.onnx"), art: Art = None) -> None:
    """Writes a checkpoint's network as the int8 file that ships."""
    torch.set_num_threads(1)
    kept = torch.load(checkpoint(cache.CACHE, name), map_location="cpu", weights_only=True)
    net = Sight(_pooling(json.loads(kept["recipe"])["pooling"]))
    net.load_state_dict(kept["mean"])
    write_model(net.eval(), output, cache.calibration_samples(read_pictures(art=art)))


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="The int8 file.")],
    learns: Annotated[Learns, typer.Option(help="What its network learnt from.")] = Learns.REPORT,
    art: Art = None,
    calm: Annotated[
        Path, typer.Option(help="Folder with long calm footage, which no network learns from.")
    ] = DATA / "long-calm",
    as_json: Json = False,
) -> None:
    """Measures an int8 file on images it did not learn from, and on calm footage, one frame a second."""
    seer = Seer(model)
    wanted = judged(learns)
    pictures = [picture for picture in read_pictures(art=art) if wanted(picture)]
    figures = summary(pictures, seer.logits(pictures))
    figures["calm"] = {
        path.name: _tail(watch(seer, path).logits) for path in sorted(calm.iterdir()) if path.suffix == ".mp4"
    }
    print_figures(figures, as_json)


@app.command()
def ship(
    model: Annotated[
        Path, typer.Argument(help="The int8 file of a network that learnt from training sources.")
    ],
    version: str,
    into: Annotated[Path, typer.Option(help="Folder of the pack.")] = ROOT / "models",
    art: Art = None,
    as_json: Json = False,
) -> None:
    """Puts an int8 file into a pack. Thresholds rest on the validation sources, figures on the test ones."""
    seer, pictures = Seer(model), read_pictures(art=art)
    by_role = {
        role: [one for one in pictures if one.role == role] for role in ("train", "validation", "test")
    }
    tested = summary(by_role["test"], seer.logits(by_role["test"]))
    measured = {
        "auc": tested["auc"][0],
        "recall_95": tested["recall"]["95%"][0],
        "recall_99": tested["recall"]["99%"][0],
        "games_95": tested["games_over"]["95%"][0],
    }
    logits = seer.logits(by_role["validation"])
    spec = ship_model(
        model,
        into,
        version,
        by_role["validation"],
        logits,
        by_role["train"],
        {name: round(value, 4) for name, value in measured.items()},
    )
    print_figures({"entry": spec.model_dump(mode="json"), "tested": tested}, as_json)


def _tail(logits: Any) -> dict[str, float]:
    high = np.sort(logits)[::-1]
    return {
        "frames": len(high),
        **{f"highest_{at}": float(high[at - 1]) for at in (1, 3, 10) if at <= len(high)},
    }


def _pooling(name: str) -> Pooling:
    if name not in ("mean", "peak"):
        raise typer.BadParameter(f"{name!r} is not a pooling: mean, peak")
    return name  # type: ignore[return-value]


if __name__ == "__main__":
    app()
