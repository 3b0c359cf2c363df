"""The labelled clips, and the splits that training and evaluation keep to."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
SPLITS = Path(__file__).with_name("splits.json")
FOLDS = 5
SEED = 20261123


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled clip. Clips of one ``group`` are never split between training and test."""

    path: str
    """Relative to the data folder."""
    violent: bool
    group: str

    @property
    def source(self) -> str:
        """The folder under ``clips/``. Figures are reported by it."""
        return self.path.split("/")[1]

    @property
    def key(self) -> str:
        """File name for cached data of the clip."""
        return self.path.removeprefix("clips/").replace("/", "--").rsplit(".", 1)[0]


def read_index(data: Path = DATA) -> list[Clip]:
    """Every clip of ``clips.csv``, in its order."""
    with (data / "clips.csv").open(newline="") as rows:
        return [Clip(row["path"], row["label"] == "violent", row["group"]) for row in csv.DictReader(rows)]


def data_digest(clips: list[Clip], data: Path = DATA) -> str:
    """sha256 over path, label, group and bytes of every clip. It identifies a model's training data."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.path}\0{int(clip.violent)}\0{clip.group}\0".encode())
        digest.update((data / clip.path).read_bytes())
    return digest.hexdigest()


def make_splits(clips: list[Clip], folds: int = FOLDS) -> dict[str, int]:
    """Assigns groups to folds.

    Deals the groups of each source out over the folds, largest first. So every fold holds every large
    source, and no group is in two folds.
    """
    fold_of: dict[str, int] = {}
    total = [0] * folds
    for source in sorted({clip.source for clip in clips}):
        sizes: dict[str, int] = {}
        for clip in clips:
            if clip.source == source:
                sizes[clip.group] = sizes.get(clip.group, 0) + 1
        filled = [0] * folds
        for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
            fold = min(range(folds), key=lambda index: (filled[index], total[index], index))
            fold_of[group] = fold
            filled[fold] += sizes[group]
            total[fold] += sizes[group]
    return fold_of


def read_splits(path: Path = SPLITS) -> dict[str, int]:
    """Fold of each group, as committed."""
    content = json.loads(path.read_text())
    return {str(group): int(fold) for group, fold in content["fold_of_group"].items()}


def write_splits(clips: list[Clip], path: Path = SPLITS) -> None:
    """Fixes the splits. Run once, then commit."""
    content = {"folds": FOLDS, "fold_of_group": dict(sorted(make_splits(clips).items()))}
    path.write_text(json.dumps(content, indent=1) + "\n")
