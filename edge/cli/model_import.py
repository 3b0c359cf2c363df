"""``edge-gate model import``: turns model files that others publish into model packs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.output import JsonOption, console, print_json, print_table, reports_errors

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Turn a model file that others publish into a model pack.",
)


@app.callback()
def _models() -> None:
    """Keeps `yamnet` a word of its own while it is the only one."""


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
    from edge.detect.audio.recorded_audio import sound_scores
    from edge.detect.importing.joined_pack import join_pack
    from edge.detect.importing.yamnet import convert_yamnet, yamnet_spec

    base = read_pack(default_model_directory() if pack is None else model_directory(pack))
    converted = convert_yamnet(file)
    spec = yamnet_spec(converted.onnx)
    model = AudioModel.load(spec, converted.onnx, file)
    spec = spec.model_copy(update={"recorded": sound_scores(spec, model.infer)})
    joined = join_pack(base, spec, converted.onnx, into)
    shown = {
        "directory": str(joined.directory),
        "digest": joined.digest,
        "models": [f"{model.kind} {model.name}" for model in joined.manifest.models],
        "categories": list(joined.manifest.categories),
        "form": "waveform" if converted.takes_waveform else "log_mel",
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
