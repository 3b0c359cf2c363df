"""Looks recorded files up in banks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.bank.options import progress
from edge.cli.left_out import print_left_out
from edge.cli.output import JsonOption, print_error, print_json, print_table, reports_errors, stderr
from edge.errors import BrokenMedia
from edge.match import MISSING, SPAN_MS, Matcher, available
from edge.replay import FoundFiles, LookupSetup, ReplayPool

_SHOWN = ("entry", "bank", "category", "by", "first_s", "distance", "samples")


@reports_errors
def match(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Videos, images or audio, or folders of them.", metavar="FILE|FOLDER..."),
    ],
    banks: Annotated[Path, typer.Option("--banks", "-b", help="Directory of banks.", metavar="DIR")],
    radius: Annotated[int, typer.Option(min=0, max=31, help="Hamming distance in bits, of 256.")] = 31,
    interval_ms: Annotated[int, typer.Option(min=1, max=60_000, help="Media time between samples.")] = 200,
    k: Annotated[int, typer.Option(min=1, max=64, help="Samples that must show the same entry.")] = 3,
    span_ms: Annotated[
        int, typer.Option(min=500, max=60_000, help="Media time within which they must do so.")
    ] = SPAN_MS,
    as_json: JsonOption = False,
) -> None:
    """Look recorded files up in the banks with the live path's samples, search and vote, audio included.

    A single image matches when it is within the radius. --json prints one object a file. A file that cannot
    be read gives an object with `error`, the others are looked up, and the exit code is 1. What is no media
    in a folder is left out and listed.
    """
    matcher = Matcher.open(banks, radius=radius)
    if matcher.has_audio and not available():
        stderr.print(MISSING, soft_wrap=True)
    given = FoundFiles.of(paths)
    left_out, failed = list(given.left_out), 0
    found: dict[int, dict[str, Any]] = {}
    with progress(as_json) as bar:
        task = bar.add_task("match", total=len(given.files))
        setup = LookupSetup(banks, radius, interval_ms, k, span_ms)
        for index, report in ReplayPool(setup, 1).reports(given.files, windows=False):
            bar.advance(task)
            if (other := given.left_out_for(index, report)) is not None:
                left_out.append(other)
                continue
            if "error" in report:
                failed += 1
                if not as_json:
                    why = str(report["error"]).removeprefix(f"{report['path']}: ")
                    print_error(BrokenMedia(f"{report['path']}: {why}"))
            else:
                found[index] = report
            if as_json:
                print_json(report)
    rows = [found[index] for index in sorted(found)]
    if as_json:
        for each in left_out:
            print_json(each.as_json())
    if not as_json:
        print_table(
            ("file", "entry", "bank", "category", "by", "first s", "distance", "samples"),
            [(r["path"], *(m[name] for name in _SHOWN)) for r in rows for m in r["matches"]],
            "no match",
        )
        for r in rows:
            if r["samples_cut_short"]:
                stderr.print(
                    f"{r['path']}: at {r['samples_cut_short']} of {r['samples']} samples so much lies within "
                    "the radius that only the nearest was looked at",
                    soft_wrap=True,
                )
        print_left_out(left_out)
    if failed or any(each.failed for each in left_out) or not found:
        raise typer.Exit(1)
