"""Computes a detector's figures from replayed, labelled clips. Pure but for reading labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.detect.measures import (
    average_precision,
    expected_calibration_error,
    recall_at_precision,
    roc_auc,
)
from edge.domain import Action
from edge.errors import ConfigError, InvalidInput, LimitExceeded
from edge.intervals import Interval, bootstrap, rate_upper_bound
from edge.replay import FoundFiles, LeftOut
from edge.settings_file import read_settings_file

MAX_ROWS = 100_000
MAX_LABEL_BYTES = 64 * 1024 * 1024
FEW_GROUPS = 10
"""With fewer groups of one label, resampling whole groups is unreliable."""
PRECISIONS = (0.80, 0.90, 0.95, 0.99)
VIOLENT = frozenset({"violent", "fight", "1", "true"})
CALM = frozenset({"calm", "nofight", "nonfight", "non-violent", "0", "false"})


@dataclass(frozen=True, slots=True)
class LabelledClip:
    """One clip with its label. Intervals resample whole groups, because clips of one group are alike."""

    path: Path
    violent: bool
    group: str
    source: str
    labels: frozenset[str] = frozenset()
    """What it shows, where that is neither violent nor calm."""

    @property
    def calm(self) -> bool:
        return not self.violent and not self.labels

    def shows(self, name: str) -> bool:
        """Whether it shows a category. What is violent shows fights."""
        return name in self.labels or (self.violent and name in VIOLENT)


def labelled_by_folders(path: Path) -> bool:
    """Whether the names of folders are the labels, so that nobody has named the files."""
    return path.is_dir() and not (path / "clips.csv").is_file()


def read_labels(
    path: Path, left_out: list[LeftOut] | None = None, names: Collection[str] = ()
) -> list[LabelledClip]:
    """Reads labelled clips.

    ``path`` is a CSV ``path,label[,group][,source]``, a folder with such a ``clips.csv``, or a folder whose
    subfolders are named by label. Paths in a CSV are relative to it. A label is violent, calm, or one or more
    of ``names``, joined by ``+``. What is in a folder and no clip is added to ``left_out``. Raises
    InvalidInput and LimitExceeded.
    """
    if labelled_by_folders(path):
        return _from_folders(path, [] if left_out is None else left_out, names)
    return _from_csv(path / "clips.csv" if path.is_dir() else path, names)


def _from_csv(path: Path, names: Collection[str]) -> list[LabelledClip]:
    clips = []
    for where, row in read_rows(path):
        file = path.parent / row["path"]
        group = row.get("group") or file.stem
        source = row.get("source") or source_of(row["path"])
        clips.append(LabelledClip(file, *_label(row.get("label"), where, group, source, names)))
    return clips


def _label(
    text: str | None, where: str, group: str, source: str, names: Collection[str]
) -> tuple[bool, str, str, frozenset[str]]:
    """What a label makes of a clip: all fields but its path."""
    words = frozenset((text or "").strip().lower().split("+"))
    known = words - (VIOLENT | CALM)
    if known and known <= frozenset(names):
        return bool(words & VIOLENT), group, source, known
    return is_violent(text, where, names), group, source, frozenset()


def read_rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Reads the rows of a CSV that has at least a column ``path``, each with its place (``FILE:LINE``).

    Raises InvalidInput, which names file and line, and LimitExceeded over MAX_ROWS.
    """
    rows: list[tuple[str, dict[str, str]]] = []
    where = str(path)
    try:
        text = read_settings_file(path, MAX_LABEL_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if not row.get("path"):
                raise InvalidInput(where, "no column path")
            if None in row:
                columns = len(reader.fieldnames or ())
                raise InvalidInput(where, f"more values than the {columns} columns of the first line")
            rows.append((where, {name: (value or "").strip() for name, value in row.items()}))
            if len(rows) > MAX_ROWS:
                raise LimitExceeded(str(path), MAX_ROWS, len(rows), "rows")
    except ConfigError as error:
        raise InvalidInput(str(path), str(error).removeprefix(f"{path}: ")) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(where, f"cannot be read: {error}") from None
    return rows


def _from_folders(path: Path, left_out: list[LeftOut], names: Collection[str]) -> list[LabelledClip]:
    clips = []
    found = FoundFiles.of([path])
    left_out += found.left_out
    for file in found.files:
        parts = file.relative_to(path).parts[:-1]
        named = [part for part in parts if part.lower() in VIOLENT | CALM | frozenset(names)]
        if named:
            source = "/".join(part for part in parts if part not in named) or path.name
            clips.append(LabelledClip(file, *_label(named[-1], str(file), file.stem, source, names)))
        else:
            left_out.append(LeftOut(file, "is in no folder named violent or calm", "no_label"))
    if not clips:
        raise InvalidInput(str(path), "neither clips.csv nor folders named violent and calm are in there")
    return clips


def is_violent(text: str | None, where: str, names: Collection[str] = ()) -> bool:
    """Parses a label. Raises InvalidInput, which names ``where``, if it means neither violent nor calm.

    ``names`` are other labels that may stand there, for the error.
    """
    word = (text or "").strip().lower()
    if word in VIOLENT:
        return True
    if word in CALM:
        return False
    others = f", nor one of {', '.join(sorted(names))}" if names else ""
    raise InvalidInput(where, f"label {text!r} is neither violent nor calm{others}")


def source_of(name: str) -> str:
    """The folder that names a clip's source."""
    parts = Path(name).parts
    return parts[1] if len(parts) > 2 else parts[0] if len(parts) == 2 else "all"


def figures(
    clips: Sequence[LabelledClip], reports: Sequence[Mapping[str, Any]], score: str = "score_mean"
) -> dict[str, Any]:
    """Computes every figure of a set of replay reports, given in the clips' order.

    Counts reports with ``error`` and leaves them out. Leaves out what is neither violent nor calm. Ranking
    and calibration use ``score``; actions use the replay's verdicts.
    """
    kept = [
        index
        for index, report in enumerate(reports)
        if "error" not in report and (clips[index].violent or clips[index].calm)
    ]
    columns = _Columns(
        violent=np.array([clips[i].violent for i in kept], dtype=bool),
        scores=np.array([reports[i][score] for i in kept], dtype=np.float64),
        groups=np.array([clips[i].group for i in kept], dtype=np.str_),
        flagged=np.array([_acted(reports[i], "first_flag_s", "first_cut_s") for i in kept], dtype=bool),
        cut=np.array([_acted(reports[i], "first_cut_s") for i in kept], dtype=bool),
        seconds=np.array([reports[i]["duration_s"] or 0.0 for i in kept], dtype=np.float64),
    )
    sources = np.array([clips[i].source for i in kept], dtype=np.str_)
    return {
        "clips": len(clips),
        "failed": sum("error" in report for report in reports),
        "score": score,
        "all": _figures(columns),
        "by_source": {str(name): _figures(columns.where(sources == name)) for name in np.unique(sources)},
        "by_group": {
            str(name): _actions(columns.where(columns.groups == name)) for name in np.unique(columns.groups)
        },
    }


def calm_rates(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """False flags and cuts per stream-hour of calm footage, with 95 % upper bounds (no event: 3 / hours).

    Every verdict counts: a long recording may be flagged again and again. A cut is also a flag. ``flagged``
    and ``cut`` are numbers of files. Reports have ``verdicts``.
    """
    kept = [report for report in reports if "error" not in report]
    hours = sum(report["duration_s"] or 0.0 for report in kept) / 3600
    said = [action for report in kept for _, action, _ in report["verdicts"]]
    flags, cuts = len(said), said.count(Action.CUT.value)
    return {
        "files": len(kept),
        "hours": round(hours, 4),
        "flagged": sum(_acted(report, "first_flag_s", "first_cut_s") for report in kept),
        "cut": sum(_acted(report, "first_cut_s") for report in kept),
        "flags": flags,
        "cuts": cuts,
        "flags_per_hour": _rate(flags, hours),
        "cuts_per_hour": _rate(cuts, hours),
    }


def warnings(found: Mapping[str, Any]) -> list[str]:
    """Warnings that people should read before they trust a result of :func:`figures`."""
    said = []
    if found["failed"]:
        said.append(f"{found['failed']} of {found['clips']} clips could not be judged and are left out.")
    groups = found["by_group"].values()
    violent, calm = (sum(part[label] > 0 for part in groups) for label in ("violent", "calm"))
    if not violent and any(part["positives"] for part in found.get("categories", {}).values()):
        pass  # clips of other categories
    elif not violent or not calm:
        said.append(f"No {'calm' if violent else 'violent'} clip: nothing to rank against.")
    elif min(violent, calm) < FEW_GROUPS:
        said.append(
            f"Violent clips of {violent} and calm ones of {calm} groups are too few for the intervals: "
            "the truth lies outside of them more often than once in twenty."
        )
    return said


@dataclass(frozen=True, slots=True)
class _Columns:
    violent: NDArray[np.bool_]
    scores: NDArray[np.float64]
    groups: NDArray[np.str_]
    flagged: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    seconds: NDArray[np.float64]

    def where(self, rows: NDArray[np.bool_]) -> _Columns:
        return _Columns(
            self.violent[rows],
            self.scores[rows],
            self.groups[rows],
            self.flagged[rows],
            self.cut[rows],
            self.seconds[rows],
        )


def _figures(columns: _Columns) -> dict[str, Any]:
    found = _actions(columns)
    labels, scores, groups = columns.violent, columns.scores, columns.groups
    if labels.any() and not labels.all():
        found["auc"] = as_list(bootstrap(roc_auc, labels, scores, groups))
        found["average_precision"] = as_list(bootstrap(average_precision, labels, scores, groups))
        for wanted in PRECISIONS:

            def recall(y: NDArray[np.bool_], x: NDArray[np.float64], wanted: float = wanted) -> float:
                return recall_at_precision(y, x, wanted)

            name = f"recall_at_precision_{round(wanted * 100)}"
            found[name] = as_list(bootstrap(recall, labels, scores, groups))
        found["calibration_error"] = as_list(bootstrap(expected_calibration_error, labels, scores, groups))
    return found


def _actions(columns: _Columns) -> dict[str, Any]:
    violent, calm = columns.violent, ~columns.violent
    return {
        "violent": int(violent.sum()),
        "calm": int(calm.sum()),
        "violent_flagged": int((columns.flagged & violent).sum()),
        "violent_cut": int((columns.cut & violent).sum()),
        "calm_flagged": int((columns.flagged & calm).sum()),
        "calm_cut": int((columns.cut & calm).sum()),
        "calm_hours": round(float(columns.seconds[calm].sum()) / 3600, 4),
    }


def _acted(report: Mapping[str, Any], *times: str) -> bool:
    return any(report[name] is not None for name in times)


def _rate(events: int, hours: float) -> dict[str, float | None]:
    bound = rate_upper_bound(events, hours)
    return {
        "value": round(events / hours, 3) if hours else None,
        "upper_95": round(bound, 3) if hours else None,
    }


def as_list(figure: Interval) -> list[float]:
    """Value, low and high, as JSON gives an interval."""
    return [round(figure.value, 4), round(figure.low, 4), round(figure.high, 4)]
