"""``edge-gate model``: checks, evaluates, shows and swaps detector models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.api.auth import Role
from edge.cli import model_import
from edge.cli.left_out import print_left_out
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import (
    JsonOption,
    console,
    print_error,
    print_json,
    print_table,
    print_warning,
    reports_errors,
    stderr,
    when,
)
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput, ModelError

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Check and evaluate detector models; replace the one of a running gate.",
)

app.add_typer(model_import.app, name="import")

SWAP_TIMEOUT_S = 120.0
"""A gate checks, times and loads a model before it answers. Seconds."""
BUDGET_MS = 6.0
"""Budget of one sample on one core, preprocessing included, milliseconds."""

ModelOption = Annotated[Path | None, typer.Option("--model", help="Folder with manifest.json.")]


@app.command()
@reports_errors
def check(
    path: Annotated[
        Path, typer.Argument(help="Folder with manifest.json, or the manifest or ONNX file in it.")
    ],
    budget_ms: Annotated[
        float,
        typer.Option("--budget-ms", min=0.1, help="Most milliseconds a sample, frame or window may cost."),
    ] = BUDGET_MS,
    as_json: JsonOption = False,
) -> None:
    """Load a pack, and verify, run and time each model. Exit with 1 when one is not usable."""
    from edge.detect import model_directory
    from edge.detect.check import check_model
    from edge.detect.recorded import NOT_RECORDED

    found = check_model(model_directory(path), budget_ms)
    dearest = max(found.models, key=lambda model: model.ms_p50)
    over = ModelError(
        f"{path}: {dearest.name}: {dearest.ms_p50} ms a {dearest.unit} is over the budget of {budget_ms:g} ms"
    )
    if as_json:
        refusal = {} if found.within_budget else {"error": str(over), "reason": over.reason}
        print_json(asdict(found) | refusal)
    else:
        shown = asdict(found) | {
            "categories": ", ".join(found.categories),
            "input_size": "{} x {}".format(*found.input_size),
        }
        del shown["models"]
        print_table(("what", "value"), shown.items(), empty="")
        columns = ("name", "version", "kind", "categories", "unit", "ms_p50", "ms_p95", "recorded_missed_by")
        rows = [asdict(model) | {"categories": ", ".join(model.categories)} for model in found.models]
        print_table(
            ("model", *columns[1:]),
            [["" if row[name] is None else row[name] for name in columns] for row in rows],
            empty="",
        )
    for model in found.models:
        if model.recorded_missed_by is None:
            print_warning(f"{model.name}: {NOT_RECORDED}")
    if found.within_budget:
        return
    if not as_json:
        print_error(over)
    raise typer.Exit(1)


@app.command()
@reports_errors
@asks_gate
def show(
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Show the model in force on a running gate and who put it there."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        found = stub.GetModel(operator_pb2.GetModelRequest(), metadata=metadata, timeout=CALL_TIMEOUT_S)
    _print_model(found, as_json)


@app.command()
@reports_errors
@asks_gate
def swap(
    path: Annotated[Path, typer.Argument(help="Folder with manifest.json, on the gate's machine.")],
    reason: Annotated[str, typer.Option("--reason", help="Reason, kept on record.")],
    digest: Annotated[
        str, typer.Option("--digest", help="Digest that the model must have, from `model check`.")
    ] = "",
    budget_ms: Annotated[
        float | None,
        typer.Option(
            "--budget-ms",
            min=0.1,
            help="Most milliseconds a sample may cost. Default: 6, or the cost of the model in force.",
        ),
    ] = None,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Replace the model of a running gate without a dropped verdict.

    The gate copies the model and checks it as `model check` does. Every worker loads it beside the old model
    before the first worker judges with it. Running streams change between two samples. Suspected streams
    change when they are calm again, at most 10 s later. A model that fails the check changes nothing.
    Thresholds stay as the policy has them. The choice is on record and survives restarts. Swap back to undo.
    """
    from edge.detect import model_directory

    request = operator_pb2.SetModelRequest(
        directory=str(model_directory(path).resolve()),
        expected_digest=digest,
        budget_ms=budget_ms or 0.0,
        reason=reason,
    )
    with connection.operator(Role.ADMIN) as (stub, metadata):
        found = stub.SetModel(request, metadata=metadata, timeout=SWAP_TIMEOUT_S)
    _print_model(found, as_json)


def _print_model(found: operator_pb2.Model, as_json: bool) -> None:
    values = {
        "name": found.name,
        "version": found.version,
        "digest": found.digest,
        "directory": found.directory,
        "categories": list(found.categories),
        "set_wall_ms": found.set_wall_ms or None,
        "set_by": found.set_by or None,
        "reason": found.reason or None,
        "sample_ms": found.sample_ms or None,
        "notes": list(found.notes),
    }
    if as_json:
        print_json(values)
        return
    shown = values | {
        "categories": ", ".join(found.categories),
        "set_wall_ms": when(found.set_wall_ms) or "from the settings",
    }
    del shown["notes"]
    print_table(("what", "value"), [(k, v) for k, v in shown.items() if v is not None], empty="")
    for note in found.notes:
        console.print(f"! {note}")


@app.command()
@reports_errors
def evaluate(
    data: Annotated[Path, typer.Argument(help="CSV of path,label[,group], or a labelled folder.")],
    model: ModelOption = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Folder of a second model, measured on the same clips.")
    ] = None,
    calm: Annotated[
        list[Path] | None, typer.Option("--calm", help="Long calm footage for false alarms per hour.")
    ] = None,
    score: Annotated[
        str, typer.Option("--score", help="A clip's score: score_mean or score_max of its windows.")
    ] = "score_mean",
    apart: Annotated[
        list[str] | None,
        typer.Option("--apart", help="A label that counts neither for nor against, as game or fireworks."),
    ] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for PNG plots.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Number of processes.")] = os.cpu_count()
    or 1,
    as_json: JsonOption = False,
) -> None:
    """Judge labelled video and audio with the live pipeline and print the quality of each model of a pack.

    A label is violent, calm, a category of the pack as gunfire, several joined by +, or one of --apart. Calm
    clips are the negatives of every category. The figures by source are those of the motion model. Every
    figure has a 95 % interval, which resamples whole groups. JSON gives it as a list of value, low and high.
    Clips from the training data flatter the model. Its card has the figures for unseen clips.
    """
    from edge.detect import default_model_directory, model_directory, read_pack
    from edge.detect.default_policy import default_policy
    from edge.intervals import require_scipy
    from edge.replay import FoundFiles, LeftOut, left_out_of
    from edge.tuning.by_category import apart_figures, category_figures, false_flags, judged_by
    from edge.tuning.evaluation import calm_rates, figures, labelled_by_folders, read_labels, warnings

    require_scipy()
    if score not in ("score_mean", "score_max"):
        raise InvalidInput("--score", f"{score!r} is neither score_mean nor score_max")
    left_out: list[LeftOut] = []
    directory = default_model_directory() if model is None else model_directory(model)
    pack = read_pack(directory)
    clips = read_labels(data, left_out, {*pack.manifest.categories, *(apart or [])})
    calm_found = FoundFiles.of(calm or [])
    calm_files = calm_found.files
    left_out += calm_found.left_out
    if calm and not calm_files:
        raise InvalidInput("--calm", "no file in there")
    if missing := next((file for file in calm_files if not file.is_file()), None):
        raise InvalidInput("--calm", f"{missing} is no file")
    if against is not None:
        against = model_directory(against)
        read_pack(against)
    if plots is not None:
        from edge.tuning.plots import draw, prepare

        prepare(plots)
    reports = _replay([clip.path for clip in clips], directory, jobs, "clips")
    if labelled_by_folders(data):
        others = [left_out_of(clip.path, report) for clip, report in zip(clips, reports, strict=True)]
        left_out += filter(None, others)
        reports = [report for report, other in zip(reports, others, strict=True) if other is None]
        clips = [clip for clip, other in zip(clips, others, strict=True) if other is None]
    rules = default_policy(directory).categories
    seen = [category.name for category in pack.motion.categories]
    result: dict[str, Any] = {
        "model": pack.manifest.name,
        "version": pack.manifest.version,
        "digest": pack.digest,
    }
    if all("error" in report for report in reports):
        said = [report["error"] for report in reports] + [f"{one.path}: {one.why}" for one in left_out]
        raise InvalidInput(str(data), f"no clip could be judged; the first: {said[0]}")
    result |= figures(clips, [judged_by(seen, report) for report in reports], score)
    result["categories"] = category_figures(clips, reports, rules, seen, score)
    result["apart"] = apart_figures(clips, reports, rules, apart or [])
    calm_reports = _replay(calm_files, directory, jobs, "calm footage")
    left_out += filter(None, map(calm_found.left_out_for, range(len(calm_files)), calm_reports))
    calm_clips = [report for clip, report in zip(clips, reports, strict=True) if clip.calm]
    for name, those in (("calm_clips", calm_clips), ("calm_footage", calm_reports)):
        if name == "calm_clips" or calm_files:
            result[name] = calm_rates(those) | {"categories": false_flags(those, rules)}
    if against is not None:
        theirs = _replay([clip.path for clip in clips], against, jobs, "against")
        its = [category.name for category in read_pack(against).motion.categories]
        result["against"] = {
            "directory": str(against),
            "all": figures(clips, [judged_by(its, report) for report in theirs], score)["all"],
            "categories": category_figures(clips, theirs, default_policy(against).categories, its, score),
        }
    result["left_out"] = [each.as_json() for each in left_out]
    result["warnings"] = warnings(result)
    if plots is not None:
        kept = [(clip, report) for clip, report in zip(clips, reports, strict=True) if "error" not in report]
        draw(
            plots,
            [clip.violent for clip, _ in kept],
            [float(judged_by(seen, report)[score]) for _, report in kept],
            {
                Path(report["path"]).name: [
                    [at_s, said] for at_s, said, name in report["windows"] if name in seen
                ]
                for report in calm_reports
                if "windows" in report
            },
        )
    if as_json:
        print_json(result)
    else:
        _print(result)
        print_left_out(left_out)


def _replay(paths: Sequence[Path], directory: Path, jobs: int, title: str) -> list[dict[str, Any]]:
    """Replays the paths with the model's own thresholds. Returns one report a path, in order."""
    from rich.progress import MofNCompleteColumn, Progress

    from edge.detect.default_policy import default_policy
    from edge.replay import ReplayPool, ReplaySetup

    if not paths:
        return []
    pool = ReplayPool(ReplaySetup(directory, None, default_policy(directory)), jobs)
    reports: dict[int, dict[str, Any]] = {}
    with Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task(title, total=len(paths))
        for index, report in pool.reports(paths, windows=True):
            reports[index] = report
            progress.advance(task)
    return [reports[index] for index in range(len(paths))]


def _print(result: dict[str, Any]) -> None:
    console.print(f"{result['model']} {result['version']}, digest {result['digest'][:16]}")
    parts = {"all": result["all"], **result["by_source"]}
    if "against" in result:
        parts["against, all"] = result["against"]["all"]
    print_table(
        (
            "source",
            "violent",
            "flagged",
            "cut",
            "calm",
            "flagged",
            "cut",
            "AUC",
            "recall at 80 %",
            "calibration error",
        ),
        (
            (
                name,
                part["violent"],
                part["violent_flagged"],
                part["violent_cut"],
                part["calm"],
                part["calm_flagged"],
                part["calm_cut"],
                _text(part.get("auc")),
                _text(part.get("recall_at_precision_80")),
                _text(part.get("calibration_error")),
            )
            for name, part in parts.items()
        ),
        empty="no clips",
    )
    _print_categories("category", result["categories"])
    if "against" in result:
        _print_categories("against, category", result["against"]["categories"])
    for label, part in result["apart"].items():
        flagged = ", ".join(f"{count} as {name}" for name, count in part["flagged"].items() if count)
        console.print(f"{label}: {part['clips']} clips, flagged {flagged or 'none'}", soft_wrap=True)
    for name in ("calm_clips", "calm_footage"):
        if name in result:
            rates = result[name]
            bounds = [rates[f"{what}_per_hour"]["upper_95"] for what in ("flags", "cuts")]
            console.print(_calm(name, rates, bounds), soft_wrap=True)
    for text in result["warnings"]:
        console.print(f"! {text}", soft_wrap=True)


def _print_categories(title: str, categories: dict[str, Any]) -> None:
    print_table(
        (
            title,
            "with it",
            "flagged",
            "cut",
            "recall",
            "calm",
            "flagged",
            "cut",
            "AUC",
            "false flags an hour",
        ),
        (
            (
                name,
                part["positives"],
                part["positives_flagged"],
                part["positives_cut"],
                _text(part.get("recall")),
                part["negatives"],
                part["negatives_flagged"],
                part["negatives_cut"],
                _text(part.get("auc")),
                _text(part.get("false_flags_per_hour")),
            )
            for name, part in categories.items()
        ),
        empty="",
    )


def _calm(name: str, rates: dict[str, Any], bounds: Sequence[float | None]) -> str:
    from edge.detect.measures import spell_hours, spell_rate

    found = f"{name}: {spell_hours(rates['hours'])}, {rates['flags']} flags and {rates['cuts']} cuts"
    found += f" in {rates['files']} files"
    if None in bounds:
        return found
    flags, cuts = (spell_rate(bound) for bound in bounds if bound is not None)
    return f"{found}; at most {flags} false flags and {cuts} false cuts an hour (95 %)"


def _text(interval: Sequence[float] | None) -> str:
    return "" if interval is None else "{:.3f} [{:.3f}, {:.3f}]".format(*interval)
