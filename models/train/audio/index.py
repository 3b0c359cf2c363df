"""The labelled sounds, and who learns from them: sources on two sides, and a validation set by recording."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from models.train.index import DATA

FIRST_SIDE: Final = frozenset({"urbansound8k", "esc10", "fw-Loggableim", "game-ufoai", "game-scorched3d"})
"""Sources that the second network never hears. The first never hears the others."""
VALIDATION_SHARE: Final = 0.2


class Side(StrEnum):
    """Which of the two networks for the figures may learn from a recording."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class Role(StrEnum):
    """What a recording is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Sound:
    """One recording of at most twelve seconds."""

    key: str
    """Unique name."""
    label: str
    """gunfire, scream, fireworks, game, film (no truth) or calm."""
    source: str
    group: str
    """Recordings of one group are never on both sides of a split."""
    side: Side
    role: Role

    @property
    def negative(self) -> bool:
        """Whether gunfire heard in it is a false alarm. Games are counted apart: they cannot be told by
        audio."""
        return self.label in ("calm", "fireworks", "scream")


class Learns(StrEnum):
    """What a network learns from. What it never heard it is measured on."""

    FIRST = "first"
    """The first side alone: for the figures on the second."""
    SECOND = "second"
    SHIP = "ship"
    """Both sides: to compare designs on the validation recordings, to choose thresholds, and to ship."""

    def learns(self, sound: Sound) -> bool:
        """Whether a network of this kind learns from ``sound``."""
        fits = self is Learns.SHIP or sound.side in (Side.BOTH, Side(self.value))
        return fits and sound.role is Role.TRAIN

    def chooses(self, sound: Sound) -> bool:
        """Whether calibration and thresholds of a network of this kind come from ``sound``."""
        fits = self is Learns.SHIP or sound.side in (Side.BOTH, Side(self.value))
        return fits and sound.role is Role.VALIDATION

    def measures(self, sound: Sound) -> bool:
        """Whether a network of this kind is measured on ``sound``."""
        if self is Learns.SHIP:
            return sound.role is Role.VALIDATION
        other = Side.SECOND if self is Learns.FIRST else Side.FIRST
        return sound.side is other or (sound.side is Side.BOTH and sound.role is Role.TEST)


def share_of(name: str) -> float:
    """A number in [0, 1) that depends on ``name`` alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def _validation_groups(groups: set[str]) -> set[str]:
    """The groups with the lowest shares: a fifth of a source's, at least one where it has two or more."""
    if len(groups) < 2:
        return set()
    count = max(1, round(VALIDATION_SHARE * len(groups)))
    return set(sorted(groups, key=lambda group: (share_of(group), group))[:count])


def read_sounds(data: Path = DATA) -> list[Sound]:
    """Every recording of ``sounds.csv``, in its order."""
    with (data / "sounds" / "sounds.csv").open(newline="") as rows:
        table = list(csv.DictReader(rows))
    groups: dict[tuple[str, str], set[str]] = {}
    for row in table:
        groups.setdefault((row["source"], row["label"]), set()).add(row["group"])
    held = {group for found in groups.values() for group in _validation_groups(found)}
    return [
        Sound(
            key=row["path"],
            label=row["label"],
            source=row["source"],
            group=row["group"],
            side=Side.FIRST if row["source"] in FIRST_SIDE else Side.SECOND,
            role=Role.VALIDATION if row["group"] in held else Role.TRAIN,
        )
        for row in table
    ]


Wanted = Callable[[Sound], bool]
