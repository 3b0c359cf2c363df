"""Labelled footage: files, and which stretches of them are violent or calm. Pure but for reading."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InvalidInput
from edge.replay import LeftOut
from edge.tuning.evaluation import is_violent, labelled_by_folders, read_labels, read_rows, source_of

Stretch = tuple[int, int]
"""Start and end, milliseconds of media time from the file's first frame."""


@dataclass(frozen=True, slots=True)
class Span:
    """A labelled stretch of a file. ``end_ms`` None means its end."""

    start_ms: int
    end_ms: int | None
    violent: bool


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """One file with its labels. ``group`` names files that are alike (one camera, scene or broadcaster)."""

    path: Path
    group: str
    source: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of one file on its time axis, sorted and without overlaps."""

    violent: tuple[Stretch, ...]
    calm: tuple[Stretch, ...]

    @property
    def calm_ms(self) -> int:
        return sum(end - start for start, end in self.calm)


def read_footage(path: Path, left_out: list[LeftOut] | None = None) -> list[LabelledFile]:
    """Reads whatever ``edge-gate model evaluate`` reads, and CSV files with the columns ``start_s`` and
    ``end_s``.

    Several rows may name one file. An empty time means the file's beginning or end. What is in a folder and
    no clip is added to ``left_out``. Raises InvalidInput, which names file and line.
    """
    if labelled_by_folders(path):
        return [
            LabelledFile(clip.path, clip.group, clip.source, (Span(0, None, clip.violent),))
            for clip in read_labels(path, left_out)
        ]
    return _from_csv(path / "clips.csv" if path.is_dir() else path)


def _from_csv(path: Path) -> list[LabelledFile]:
    spans: dict[str, list[Span]] = {}
    about: dict[str, tuple[str, str]] = {}
    for where, row in read_rows(path):
        name = row["path"]
        if name not in spans and not (path.parent / name).is_file():
            raise InvalidInput(where, f"path: no such file: {path.parent / name}")
        said = (row.get("group") or (path.parent / name).stem, row.get("source") or source_of(name))
        if about.setdefault(name, said) != said:
            raise InvalidInput(where, f"{name}: group and source differ from those of an earlier row")
        start_ms = _time(row.get("start_s"), "start_s", where) or 0
        end_ms = _time(row.get("end_s"), "end_s", where)
        if end_ms is not None and end_ms <= start_ms:
            raise InvalidInput(where, f"end_s {row['end_s']} is not after start_s {row.get('start_s') or 0}")
        spans.setdefault(name, []).append(Span(start_ms, end_ms, is_violent(row.get("label"), where)))
    if not spans:
        raise InvalidInput(str(path), "no rows")
    return [LabelledFile(path.parent / name, *about[name], tuple(rows)) for name, rows in spans.items()]


def _time(text: str | None, column: str, where: str) -> int | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        raise InvalidInput(where, f"{column}: {text!r} is not a number of seconds") from None
    if not math.isfinite(seconds) or not 0 <= seconds <= 10_000_000:
        raise InvalidInput(where, f"{column}: {text} is not between 0 and 10000000 seconds")
    return round(seconds * 1000)


def label_spans(spans: Sequence[Span], duration_ms: int, grace_ms: int) -> Truth:
    """Turns labelled spans into stretches of a file.

    Violent rows override calm ones. For ``grace_ms`` after violence nothing counts as calm, because the
    detector's window still holds it. Time in no row is neither.
    """
    violent = _merged(_clipped((span for span in spans if span.violent), duration_ms))
    calm = _merged(_clipped((span for span in spans if not span.violent), duration_ms))
    for start, end in violent:
        calm = _without(calm, (start, end + grace_ms))
    return Truth(tuple(violent), tuple(calm))


def _clipped(spans: Iterable[Span], duration_ms: int) -> list[Stretch]:
    found = []
    for span in spans:
        end = duration_ms if span.end_ms is None else min(span.end_ms, duration_ms)
        if end > span.start_ms:
            found.append((span.start_ms, end))
    return found


def _merged(stretches: list[Stretch]) -> list[Stretch]:
    merged: list[Stretch] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without(stretches: list[Stretch], taken: Stretch) -> list[Stretch]:
    left = []
    for start, end in stretches:
        left += [(a, b) for a, b in ((start, min(end, taken[0])), (max(start, taken[1]), end)) if a < b]
    return left


def printable(path: object) -> str:
    """A path as text for any output. Bytes that are not UTF-8 are replaced."""
    return str(path).encode("utf-8", "replace").decode()
