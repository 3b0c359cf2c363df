"""Looks recorded files up in banks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.bank.options import progress
from edge.cli.output import JsonOption, print_json, print_table, reports_errors, stderr
from edge.errors import BrokenMedia
from edge.match import MISSING, SPAN_MS, Matcher, available
from edge.replay import LookupSetup, ReplayPool

_SHOWN = ("entry", "bank", "category", "by", "first_s", "distance", "samples")


@reports_errors
def match(
    paths: Annotated[list[Path], typer.Argument(help="Videos, images or sound.", metavar="FILE...")],
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

    A single image matches when it is within the radius. --json prints one object a file.
    """
    matcher = Matcher.open(banks, radius=radius)
    if matcher.has_audio and not available():
        stderr.print(MISSING, soft_wrap=True)
    found: dict[int, dict[str, Any]] = {}
    with progress(as_json) as bar:
        task = bar.add_task("match", total=len(paths))
        setup = LookupSetup(banks, radius, interval_ms, k, span_ms)
        for index, report in ReplayPool(setup, 1).reports(paths, windows=False):
            if "error" in report:
                raise BrokenMedia(report["error"])
            found[index] = report
            bar.advance(task)
            if as_json:
                print_json(report)
    rows = [found[index] for index in range(len(paths))]
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
