"""Looks recorded files up in banks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from edge.cli.bank.options import advance, progress
from edge.cli.output import JsonOption, print_json, print_table, reports_errors, stderr
from edge.domain import SignalSource
from edge.match import MISSING, SPAN_MS, FileLookup, Matcher, MatchVote, available, look_up

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
    rows = []
    with progress(as_json) as bar:
        for path in paths:
            report = _looked_up(path, _look_up(path, matcher, MatchVote(k, span_ms), interval_ms, bar))
            rows.append(report)
            if as_json:
                print_json(report)
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


def _look_up(path: Path, matcher: Matcher, vote: MatchVote, interval_ms: int, bar: Progress) -> FileLookup:
    task = bar.add_task(path.name, total=None)
    try:
        return look_up(
            path,
            matcher,
            vote,
            interval_ms=interval_ms,
            progress=lambda done_s, length_s: advance(bar, task, done_s, length_s),
        )
    finally:
        bar.remove_task(task)


def _looked_up(path: Path, looked: FileLookup) -> dict[str, Any]:
    nearest = looked.nearest
    return {
        "path": str(path),
        "samples": looked.samples,
        "samples_cut_short": looked.cut_short,
        "matches": [
            {
                "entry": one.entry,
                "bank": one.bank,
                "category": one.category,
                "by": "sound" if one.by is SignalSource.AUDIO else "picture",
                "first_s": one.first_ms / 1000,
                "distance": one.distance,
                "samples": one.samples,
                "detail": one.detail,
            }
            for one in looked.found
        ],
        "nearest": None
        if nearest is None
        else {"entry": nearest.entry, "bank": nearest.bank, "distance": nearest.distance},
        "near_samples": {f"{bank}/{entry}": count for (bank, entry), count in looked.near.most_common(16)},
    }
