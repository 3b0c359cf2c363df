"""``edge-gate tune``: proposes thresholds from labelled footage."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.cli.left_out import print_left_out
from edge.cli.operator_client import GateConnection, asks_gate
from edge.cli.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    print_warning,
    reports_errors,
    stderr,
)
from edge.cli.output_file import appearing_file
from edge.cli.policy_target import file_target, gate_target, model_target
from edge.errors import ConfigError, InvalidInput
from edge.policy import Policy

if TYPE_CHECKING:
    from edge.replay import LeftOut
    from edge.tuning.cache import CachedSetup

NOT_SHOWN = 3
"""Exit code of a proposal whose promise the data cannot show."""


@reports_errors
@asks_gate
def tune(
    data: Annotated[
        Path, typer.Argument(help="CSV of path,label[,start_s,end_s][,group][,source], or a labelled folder.")
    ],
    precision: Annotated[
        float | None,
        typer.Option("--target-precision", min=0.0, max=1.0, help="Share of cuts that must be right."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--max-false-cuts-per-hour", min=0.0, help="False cuts allowed in an hour of calm stream."
        ),
    ] = None,
    flag_recall: Annotated[
        float, typer.Option("--flag-recall", min=0.0, max=1.0, help="Share of violence to be flagged.")
    ] = 0.9,
    flag_rate: Annotated[
        float | None,
        typer.Option(
            "--max-false-flags-per-hour",
            min=0.01,
            help="False flags allowed in an hour of calm, for categories of audio and frames. Default: 2.",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write an HTML report.")] = None,
    policy_file: Annotated[
        Path | None,
        typer.Option("--policy", help="Policy (JSON) to start from, and what --apply writes."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put the proposal in force, in --policy FILE or else in the gate.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Apply also without a promise, or without proof of it.",
        ),
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Reason, kept on record by the gate.")] = "",
    category: Annotated[
        str,
        typer.Option("--category", help="Category to tune, as gunfire. Default: that of the motion model."),
    ] = "",
    model: Annotated[Path | None, typer.Option("--model", help="Folder with manifest.json.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Folder for scores. Default: edge-gate/scores in the user's cache."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Also run the proposal on the live pipeline.")
    ] = True,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Number of processes.")] = os.cpu_count()
    or 1,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Propose thresholds for your own footage, and measure them.

    The live pipeline judges the footage once. It keeps the scores, so a second run takes seconds. Then
    every candidate runs through the gate's own window, tiers and decisions. Flags are chosen for
    --flag-recall. Cuts are chosen for a promise: --target-precision, --max-false-cuts-per-hour, or else no
    false cut on the data.

    DATA is a folder with subfolders named violent and calm, or a CSV. Rows with start_s and end_s label
    stretches of a file; an empty value means its beginning or end. Violent rows overrule calm rows. Time in
    no row counts neither way. `group` names what shares a camera, a scene or a broadcaster. Figures are
    cross-validated by group: each file is judged by what was chosen without its group.

    A --category of audio or of single frames, as gunfire or firearm, gets its flag_at by false flags of
    calm recordings: the lowest with at most --max-false-flags-per-hour. DATA labels whole recordings: calm,
    or the category. Calm alone is enough. Audio alone is judged as well. Scores are not kept.

    Of a labelled folder, whatever is media is judged. What is something else (text, audio alone where motion
    is judged, a pipe, a link to a folder, or in no folder named by a label) is left out and listed.

    Exit code 3 means that the data cannot show the promise. --apply then needs --force. --apply needs a
    promise, an admin's token, and a policy that nobody has changed meanwhile. Exit code 1 beside a result
    means that media could not be read: the proposal rests on the rest.
    """
    if precision is not None and rate is not None:
        raise InvalidInput("--target-precision", "not together with --max-false-cuts-per-hour")
    from edge.cli.tune_witness import FALSE_FLAGS, print_result, tune_category, witness_named
    from edge.detect import default_model_directory, model_directory, read_pack
    from edge.intervals import require_scipy
    from edge.tuning.guarantee import Guarantee

    require_scipy()
    directory = default_model_directory() if model is None else model_directory(model)
    pack = read_pack(directory)
    witness = witness_named(category, pack)
    _refuse_options_of_others(witness is not None, category, precision, rate, flag_rate, report)
    if apply and precision is None and rate is None and witness is None and not force:
        raise InvalidInput(
            "--apply",
            "nothing says whether the footage is enough: promise --target-precision or "
            "--max-false-cuts-per-hour, or apply it all the same with --force",
        )
    if policy_file is not None:
        target = file_target(policy_file)
    elif apply:
        target = gate_target(connection)
    else:
        target = model_target(directory)
    left_out: list[LeftOut] = []
    try:
        if witness is not None:
            wanted = FALSE_FLAGS if flag_rate is None else flag_rate
            result, part = tune_category(data, left_out, witness, target.policy, pack, wanted, jobs)
        else:
            result, part = _tune(
                data,
                left_out,
                Guarantee(precision, rate),
                flag_recall,
                target.policy,
                category,
                directory,
                cache,
                jobs,
                check,
                report,
            )
    except KeyboardInterrupt:
        kept = "the scores so far are kept, and the next run goes on from them"
        stderr.print("stopped" if witness is not None else f"stopped; {kept}")
        raise typer.Exit(130) from None
    shown = result["promise"]["shown"]
    result["policy"] = part.model_dump(mode="json")
    result["applied"] = None
    if apply and (shown or force):
        result["applied"] = target.write_policy(part, reason or f"tune: {result['promise']['text']}")
    result["report"] = None if report is None else str(report)
    if as_json:
        print_json(result)
    else:
        (_print if witness is None else print_result)(result)
        print_left_out(left_out)
        for one in result["data"]["failed"]:
            print_warning(f"{one['path']}: {one['error']}")
        if apply and result["applied"] is None:
            stderr.print("not applied: the promise is not shown to be kept; --force applies it all the same")
    if not shown:
        raise typer.Exit(NOT_SHOWN)
    if result["data"]["failed"] or any(each.failed for each in left_out):
        raise typer.Exit(1)


def _refuse_options_of_others(
    of_witness: bool,
    category: str,
    precision: float | None,
    rate: float | None,
    flag_rate: float | None,
    report: Path | None,
) -> None:
    """Raises InvalidInput for an option that says nothing of this kind of category."""
    if not of_witness:
        if flag_rate is not None:
            raise InvalidInput("--max-false-flags-per-hour", "is for a --category of audio or single frames")
        return
    cuts = {"--target-precision": precision, "--max-false-cuts-per-hour": rate, "--report": report}
    for option, value in cuts.items():
        if value is not None:
            raise InvalidInput(option, f"says nothing of {category!r}, which has --max-false-flags-per-hour")


def _tune(
    data: Path,
    left_out: list[LeftOut],
    promise: Any,
    flag_recall: float,
    base: Policy,
    category: str,
    directory: Path,
    cache: Path | None,
    jobs: int,
    check: bool,
    report: Path | None,
) -> tuple[dict[str, Any], Policy]:
    """Returns the result as plain values, and the proposed policy. Fills ``left_out``."""
    from rich.progress import Progress

    from edge.detect import read_pack
    from edge.replay import left_out_of
    from edge.tuning.cache import default_cache
    from edge.tuning.evaluation import labelled_by_folders
    from edge.tuning.labels import read_footage
    from edge.tuning.result import result
    from edge.tuning.scoring import ScoringSetup
    from edge.tuning.simulate import Simulator
    from edge.tuning.study import Study
    from edge.tuning.tuning import STEPS, tune
    from edge.tuning.verify import VerifySetup, compare

    pack = read_pack(directory)
    manifest, digest = pack.motion, pack.digest
    name = _category(category, [part.name for part in manifest.categories], base, pack.manifest.categories)
    footage = read_footage(data, left_out)
    paths = [one.path for one in footage]
    scores = cache or default_cache()
    try:
        scores.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--cache {scores}: {error.strerror}") from None
    with Progress(
        *Progress.get_default_columns(), console=stderr, disable=not stderr.is_terminal, transient=True
    ) as progress:
        found = _run(ScoringSetup(directory, base, scores), paths, jobs, progress, "scores")
        kept = [index for index in range(len(paths)) if "track" in found[index]]
        failed = [found[index] for index in range(len(paths)) if "track" not in found[index]]
        if labelled_by_folders(data):
            others = {one["path"]: left_out_of(Path(one["path"]), one) for one in failed}
            left_out += [other for other in others.values() if other is not None]
            failed = [one for one in failed if others[one["path"]] is None]
        study = Study(Simulator(manifest, name, base.tiers), [(footage[i], found[i]["track"]) for i in kept])
        task = progress.add_task("candidates", total=STEPS)
        tuning = tune(study, promise, base.categories[name], flag_recall, lambda _: progress.advance(task))
        part = tuning.proposal.part
        policy = base.model_copy(update={"categories": base.categories | {name: part}})
        live = None
        if check:
            setup = VerifySetup(directory, policy, scores)
            live = compare(study, part, _run(setup, [paths[i] for i in kept], jobs, progress, "live check"))
    values = result(study, tuning, base.categories[name], live, failed, left_out)
    values["data"] = {"path": str(data)} | values["data"]
    values["model"] = {"name": manifest.name, "version": manifest.version, "digest": digest}
    if report is not None:
        from edge.tuning.report import html

        page = html(study, tuning, values, f"Tuning of {name}", _about(values))
        with appearing_file("--report", report) as file:
            file.write(page)
    return values, policy


def _category(wanted: str, known: Sequence[str], base: Policy, every: Sequence[str]) -> str:
    if not wanted and len(known) > 1:
        raise InvalidInput("--category", f"the model has several: {', '.join(known)}")
    name = wanted or known[0]
    if name not in known:
        raise InvalidInput("--category", f"{name!r} is none of the model's: {', '.join(every)}")
    if name not in base.categories:
        raise InvalidInput("--policy", f"it has no category {name!r}, which the model sees")
    return name


def _run(
    setup: CachedSetup, paths: Sequence[Path], jobs: int, progress: Any, title: str
) -> dict[int, dict[str, Any]]:
    """Scores the paths, from the cache where possible. The progress bar counts bytes of files."""
    from edge.replay import ReplayPool

    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    task = progress.add_task(title, total=sum(sizes) or 1)
    found: dict[int, dict[str, Any]] = {}

    def note(index: int, report: dict[str, Any]) -> None:
        found[index] = report
        progress.update(task, advance=sizes[index], description=f"{title} {len(found)}/{len(paths)}")

    cached = setup.cached()
    left = []
    for index, path in enumerate(paths):
        if (report := cached(path)) is None:
            left.append(index)
        else:
            note(index, report)
    for index, report in ReplayPool(setup, jobs).reports([paths[row] for row in left], windows=False):
        note(left[index], report)
    return found


def _about(values: Mapping[str, Any]) -> list[str]:
    from edge.detect.measures import spell_hours

    data, model = values["data"], values["model"]
    return [
        f"{data['path']}: {data['files']} files in {data['groups']} groups, {data['violent_stretches']} "
        f"violent stretches, {spell_hours(data['calm_hours'])} calm",
        f"model {model['name']} {model['version']}, digest {model['digest']}",
        f"made {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    ]


def _print(result: Mapping[str, Any]) -> None:
    from edge.tuning.result import ROWS, text

    def cell(figures: Mapping[str, Any], name: str, how: str) -> str:
        found = figures[name]
        return "–" if found is None else "{} ({} to {})".format(*(text(value, how) for value in found))

    for line in _about(result)[:2]:
        console.print(line, soft_wrap=True)
    console.print()
    print_table(
        ("policy", "now", "proposed"),
        [(name, result["current"][name], value) for name, value in result["proposal"].items()],
        empty="",
    )
    console.print()
    unseen = result["basis"] == "cross_validated"
    columns = ["proposed, unseen footage" if unseen else "proposed, same footage", "from calm", "now"]
    kinds = [result["figures"], result["from_calm"], result["current_figures"]]
    if unseen:
        columns.insert(1, "proposed, same footage")
        kinds.insert(1, result["fitted"])
    print_table(
        ("with 95 % intervals", *columns),
        [(label, *(cell(kind, name, how) for kind in kinds)) for name, label, how in ROWS],
        empty="",
    )
    console.print()
    console.print(result["promise"]["text"], soft_wrap=True)
    check = result["live_check"]
    if check is not None:
        line = f"Live pipeline: {check['alike']} of {check['files']} files end as simulated."
        console.print(line)
    for text_ in result["warnings"]:
        console.print(f"! {text_}", soft_wrap=True)
    if result["applied"]:
        console.print(f"applied: {result['applied']}")
    if result["report"]:
        console.print(f"report: {result['report']}")
