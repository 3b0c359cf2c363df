"""``python -m models.train.audio``: trains the model that hears gunfire, explosions and screams.

On one shared core a pass of ``prepare`` took 3.5 to 4.5 minutes, and 100 batches of ``train`` 5 to 6 seconds
with the first layers frozen. Each step goes on where it was stopped.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from edge.detect import read_pack
from edge.detect.audio.audio_model import AudioModel
from models.train.audio import cache, pool
from models.train.audio.degrade import CONDITIONS, decode
from models.train.audio.export import write_fp32, write_half
from models.train.audio.fit import Recipe, fit, read_student
from models.train.audio.hear import Listener, report
from models.train.audio.index import Learns, Role, Sound, read_sounds
from models.train.audio.network import Design
from models.train.audio.scenes import Load
from models.train.audio.ship import hear, raw_model
from models.train.audio.ship import ship as write_entry
from models.train.audio.synthesis import SOURCE, synthesise, synthetic_sounds
from models.train.audio.teacher import weights
from models.train.audio.unseen import judged, write_unseen
from models.train.index import DATA, ROOT
from models.train.progress import Epoch, checkpoint, print_figures, tell, tell_epoch

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

POOL = cache.CACHE / "pool"
Name = Annotated[str, typer.Option(help="Names the checkpoint.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of torch and onnxruntime.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Passes = Annotated[
    int, typer.Option(min=1, help="How often each recording is heard: clean first, then degraded.")
]
Synthetic = Annotated[int, typer.Option(min=0, help="Synthetic recordings of each kind.")]


def every_sound(synthetic: int) -> tuple[list[Sound], Load]:
    """All recordings at hand, and how they are read."""
    packages = pool.Pool(POOL)

    def load(sound: Sound) -> Any:
        if sound.source.startswith(SOURCE):
            return synthesise(sound)
        return packages.load(sound) if sound.key in packages else decode(str(DATA / "sounds" / sound.key))

    return [*read_sounds(), *synthetic_sounds(synthetic), *packages.sounds], load


@app.command()
def prepare(
    packages: Annotated[
        Path | None,
        typer.Option(help="Folder with Debian packages, each unpacked into a folder of its name."),
    ] = None,
    passes: Passes = 4,
    synthetic: Synthetic = 12,
    as_json: Json = False,
) -> None:
    """Decodes the packages, and lets the teacher judge every scene. Resumes."""
    for package in pool.read_packages() if packages is not None else []:
        assert packages is not None
        if (packages / package.name).is_dir():
            count = pool.unpack(package, packages, POOL)
            tell(as_json, f"{package.name}: {count} pieces", package=package.name, pieces=count)
    sounds, load = every_sound(synthetic)
    sounds = [one for one in sounds if one.role is Role.TRAIN]

    def told(done: int, of: int) -> None:
        tell(as_json, f"{done} of {of}", done=done, of=of)

    cache.prepare(sounds, passes, load, told)


@app.command()
def train(
    name: Name = "ears",
    learns: Learns = Learns.SHIP,
    design: Design = Design.CUT_15,
    whole: Annotated[bool, typer.Option("--whole", help="Train the teacher's first layers too.")] = False,
    epochs: Annotated[int, typer.Option(min=1)] = 12,
    steps: Annotated[int, typer.Option(min=1, help="Batches of an epoch.")] = 150,
    batch: Annotated[int, typer.Option(min=1)] = 64,
    rate: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 1e-3,
    lift: Annotated[
        float, typer.Option(min=0.05, max=1, help="Power of the teacher's word on labelled events.")
    ] = 0.5,
    passes: Passes = 4,
    synthetic: Synthetic = 12,
    threads: Threads = 1,
    device: Annotated[str, typer.Option(help="Where torch computes: cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Fits a student. Keeps a checkpoint after every epoch, and goes on from it."""
    torch.set_num_threads(threads)
    frozen = not whole and design is not Design.SMALL
    recipe = Recipe(design, frozen, epochs, steps, batch, rate, lift, passes=passes)
    sounds, _ = every_sound(synthetic)
    sounds = [one for one in sounds if one.role is Role.TRAIN]
    windows = cache.load_windows(sounds, learns, passes, whole=not frozen)
    tell(as_json, f"{len(windows.sound)} windows", windows=len(windows.sound), recipe=asdict(recipe))

    def told(epoch: Epoch) -> None:
        tell_epoch(as_json, epoch, epochs)

    fit(recipe, sounds, windows, weights(), checkpoint(cache.CACHE, name), device, told)


@app.command()
def export(
    name: Name = "ears",
    output: Annotated[Path, typer.Option(help="The ONNX file.")] = Path("ears.onnx"),
    as_json: Json = False,
) -> None:
    """Writes a checkpoint's network with float16 weights."""
    net, recipe = read_student(checkpoint(cache.CACHE, name), weights())
    fp32 = cache.CACHE / f"{name}-fp32.onnx"
    write_fp32(net, fp32)
    write_half(fp32, output)
    print_figures({"file": str(output), "bytes": output.stat().st_size, "recipe": asdict(recipe)}, as_json)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="An ONNX file: a student's or the teacher's.")],
    learns: Annotated[Learns, typer.Option(help="What its network learnt from.")] = Learns.SHIP,
    conditions: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    scores: Annotated[bool, typer.Option("--scores", help="Print each recording's score as well.")] = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Measures a file on recordings that its network did not learn from."""
    sounds, load = every_sound(0)
    names = list(CONDITIONS) if conditions == "all" else conditions.split(",")
    for unknown in set(names) - set(CONDITIONS):
        raise typer.BadParameter(f"{unknown!r} is no condition: {', '.join(CONDITIONS)}")
    found = report(Listener(model, threads), [one for one in sounds if learns.measures(one)], load, names)
    if not scores:
        del found["scores"]
    print_figures(found, as_json)


@app.command()
def ship(
    model: Annotated[Path, typer.Argument(help="A student's ONNX file.")],
    learns: Annotated[Learns, typer.Option(help="What its network learnt from.")] = Learns.SHIP,
    output: Annotated[Path, typer.Option(help="Folder of the pack that the model joins.")] = ROOT / "models",
    version: Annotated[str, typer.Option(help="Version of the model.")] = "1",
    synthetic: Synthetic = 12,
    as_json: Json = False,
) -> None:
    """Chooses calibration and thresholds on validation recordings, and puts the model into a pack."""
    sounds, load = every_sound(synthetic)
    content = model.read_bytes()
    heard = hear(raw_model(content, model), [one for one in sounds if learns.chooses(one)], load)
    spec = write_entry(content, output, version, heard, [one for one in sounds if learns.learns(one)])
    print_figures(spec.model_dump(mode="json", include={"version", "categories"}), as_json)


@app.command()
def unseen(
    first: Annotated[Path, typer.Option(help="Pack of the network that learnt from the first side.")],
    second: Annotated[Path, typer.Option(help="Pack of the network that learnt from the second side.")],
    output: Annotated[Path, typer.Option(help="The file of scores.")] = ROOT
    / "models"
    / "unseen-sounds.json",
) -> None:
    """Measures two networks of the shipped recipe, each on the sources that it never heard."""
    sounds, load = every_sound(0)
    found = {}
    for learns, folder in ((Learns.FIRST, first), (Learns.SECOND, second)):
        model = AudioModel.of(read_pack(folder))
        if model is None:
            raise typer.BadParameter(f"{folder} has no audio model")
        found[learns.value] = judged(model, learns, sounds, load)
    write_unseen(output, found)


if __name__ == "__main__":
    app()
