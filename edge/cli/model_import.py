"""``edge-gate model import``: turns model files that others publish into model packs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.output import JsonOption, console, print_json, print_table, reports_errors

if TYPE_CHECKING:
    from edge.detect import PackFiles

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Turn a model file that others publish into a model pack.",
)


@app.command()
@reports_errors
def yamnet(
    file: Annotated[
        Path, typer.Argument(help="YAMNet's .tflite file, as its authors publish it: either form.")
    ],
    into: Annotated[Path, typer.Option("--into", help="Folder of the new pack; it must not exist yet.")],
    pack: Annotated[
        Path | None,
        typer.Option("--pack", help="Pack whose other models the new one keeps. Default: the shipped one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a pack that hears gunfire, explosions and screams with the full-size public network.

    The new pack keeps the other models of `--pack`, but no audio model: a pack has one. The file is not run,
    and what is no YAMNet is refused. Needs `pip install 'edge-gate[import]'`.
    """
    from edge.detect import default_model_directory, model_directory, read_pack
    from edge.detect.audio.audio_model import AudioModel
    from edge.detect.audio.recorded_audio import audio_scores
    from edge.detect.importing.joined_pack import join_pack
    from edge.detect.importing.yamnet import convert_yamnet, yamnet_spec

    base = read_pack(default_model_directory() if pack is None else model_directory(pack))
    converted = convert_yamnet(file)
    spec = yamnet_spec(converted.onnx)
    model = AudioModel.load(spec, converted.onnx, file)
    spec = spec.model_copy(update={"recorded": audio_scores(spec, model.infer)})
    joined = join_pack(base, spec, converted.onnx, into)
    _print(joined, as_json, {"form": "waveform" if converted.takes_waveform else "log_mel"})


@app.command()
@reports_errors
def onnx(
    file: Annotated[Path, typer.Argument(help="ONNX file of any audio or frame model.")],
    manifest: Annotated[Path, typer.Argument(help="Its entry of `models` in the manifest of a pack, JSON.")],
    into: Annotated[Path, typer.Option("--into", help="Folder of the new pack; it must not exist yet.")],
    pack: Annotated[
        Path | None,
        typer.Option("--pack", help="Pack whose other models the new one keeps. Default: the shipped one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a pack in which your own model of audio or single frames takes the place of that of its kind.

    The new pack keeps the models of other kinds of `--pack`. `model` (file, size, digest) and `recorded` are
    filled in. The model is loaded and run as a worker does it; one that does not keep its manifest's word is
    refused. docs/tune/own-model.md says what an entry holds.
    """
    from edge.detect import default_model_directory, model_directory, read_pack
    from edge.detect.importing.joined_pack import join_pack
    from edge.detect.importing.own_model import read_own_model

    base = read_pack(default_model_directory() if pack is None else model_directory(pack))
    own = read_own_model(file, manifest)
    _print(join_pack(base, own.spec, own.onnx, into), as_json, {})


def _print(joined: PackFiles, as_json: bool, more: dict[str, str]) -> None:
    into = joined.directory
    shown = {
        "directory": str(into),
        "digest": joined.digest,
        "models": [f"{model.kind} {model.name}" for model in joined.manifest.models],
        "categories": list(joined.manifest.categories),
        **more,
    }
    if as_json:
        print_json(shown)
        return
    rows = {name: ", ".join(value) if isinstance(value, list) else value for name, value in shown.items()}
    print_table(("what", "value"), rows.items(), empty="")
    console.print(f"Check it:      edge-gate model check {into}", soft_wrap=True, markup=False)
    console.print(f"Put in force:  edge-gate model swap {into} --reason TEXT", soft_wrap=True, markup=False)
    console.print(
        "Then let the policy judge its categories: docs/tune/sound.md", soft_wrap=True, markup=False
    )
