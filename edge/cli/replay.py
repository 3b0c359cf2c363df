"""``edge-gate replay``: judges recorded files with the live pipeline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.left_out import print_left_out
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, stderr
from edge.errors import InvalidInput
from edge.settings_file import read_settings_file


@reports_errors
def replay(
    paths: Annotated[list[Path], typer.Argument(help="Recorded files, or folders of them.", metavar="PATH")],
    windows: Annotated[
        bool, typer.Option("--windows", help="Also print every window's time, score and category.")
    ] = False,
    policy_file: Annotated[
        Path | None, typer.Option("--policy", help="Policy (JSON). Default: the model's own thresholds.")
    ] = None,
    bank_dir: Annotated[
        Path | None, typer.Option("--banks", help="Folder of banks to match against.")
    ] = None,
    model_dir: Annotated[Path | None, typer.Option("--model", help="Folder with manifest.json.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Number of processes.")] = os.cpu_count()
    or 1,
    as_json: JsonOption = False,
) -> None:
    """Judge recorded files as if they were live, as fast as the machine allows: their video, and their
    audio where the pack has an audio model. Audio alone is judged as well.

    --json prints one object a file, in the order of PATH…: path, duration_s, samples, score_max, score_mean,
    verdict, shadow, first_flag_s, first_cut_s, reason, matches, categories. `shadow` says that the policy's
    mode would only record it. `categories` holds score_max, score_mean, first_flag_s and first_cut_s of each
    category; score_max is the highest score that thresholds are held against. samples, score_max and
    score_mean beside it are of the video, or of the windows of audio where there is no video. --windows
    adds windows, a list of time, score and category, and verdicts, a list of time, action and category.

    Of a folder, whatever is media is judged, also in folders below it. What is something else (text, a pipe,
    a link to a folder, audio alone where nothing listens) is left out and listed. With --json it gives an
    object with `left_out`.

    Nothing is blocked or recorded. A file that cannot be judged gives an object with `error`. The other files
    are judged, and the exit code is 1. What is something else than media does not change the exit code.
    """
    from rich.progress import MofNCompleteColumn, Progress

    from edge.detect import default_model_directory
    from edge.detect.default_policy import default_policy
    from edge.policy import MAX_POLICY_BYTES, parse_policy
    from edge.replay import FoundFiles, LeftOut, ReplayPool, ReplaySetup

    found = FoundFiles.of(paths)
    files = found.files
    if not files:
        print_left_out(found.left_out)
        raise InvalidInput("PATH", "no file in there")
    model = model_dir or default_model_directory()
    if policy_file is None:
        policy = default_policy(model)
    else:
        policy = parse_policy(read_settings_file(policy_file, MAX_POLICY_BYTES))
    pool = ReplayPool(ReplaySetup(model, bank_dir, policy), jobs)
    reports: dict[int, dict[str, Any]] = {}
    left_out: dict[int, LeftOut] = {}
    printed = 0
    with Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task("replay", total=len(files))
        for index, report in pool.reports(files, windows=windows):
            if (other := found.left_out_for(index, report)) is not None:
                left_out[index] = other
            reports[index] = report
            progress.advance(task)
            while as_json and printed in reports:
                print_json(left_out[printed].as_json() if printed in left_out else reports[printed])
                printed += 1
    judged = [reports[index] for index in range(len(files)) if index not in left_out]
    if as_json:
        for each in found.left_out:
            print_json(each.as_json())
    else:
        _print_table(judged, windows)
        print_left_out([*(left_out[index] for index in sorted(left_out)), *found.left_out])
    failed = sum("error" in report for report in judged) + sum(each.failed for each in found.left_out)
    if failed:
        stderr.print(f"{failed} of {len(judged)} files could not be judged")
    if failed or not judged:
        raise typer.Exit(1)


def _print_table(reports: list[dict[str, Any]], windows: bool) -> None:
    rows = []
    for report in reports:
        if "error" in report:
            rows.append((report["path"], "", "", "", "error", report["error"]))
            continue
        times = [
            f"{word} {report[key]:.1f} s{_of(report, key)}"
            for word, key in (("flag", "first_flag_s"), ("cut", "first_cut_s"))
            if report[key] is not None
        ]
        rows.append(
            (
                report["path"],
                f"{report['duration_s']:.1f}",
                report["samples"],
                f"{report['score_max']:.2f}",
                f"shadow {report['verdict']}" if report["shadow"] else report["verdict"],
                ", ".join([*times, *(f"match {m['entry']}" for m in report["matches"])]),
            )
        )
    print_table(("file", "seconds", "samples", "score", "verdict", "when"), rows, "No files.")
    if windows:
        for report in reports:
            for at_s, score, category in report.get("windows", ()):
                print_line(f"{report['path']}  {at_s:.3f}  {score:.5f}  {category}")


def _of(report: dict[str, Any], key: str) -> str:
    """Which categories a time is of."""
    names = [name for name, one in report["categories"].items() if one[key] == report[key]]
    return f" ({', '.join(names)})" if names else ""
