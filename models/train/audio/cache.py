"""The windows of every scene with the teacher's word on them, on disk. Resumes where it was stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.train.audio.index import Learns, Sound
from models.train.audio.patches import patches
from models.train.audio.scenes import Load, backgrounds, scene
from models.train.audio.teacher import Teacher

CACHE: Final = Path(os.environ.get("EDGE_TRAIN_CACHE", Path(__file__).parents[1] / ".cache")) / "audio"
SHARD: Final = 48
"""Recordings in a file."""

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of several recordings, one after the other."""

    patches: Halves
    """What the student hears, ``(N, 96, 64)``."""
    middle: Halves
    """What the teacher's first layers make of it, ``(N, 256, 6, 4)``."""
    scores: Halves
    """The teacher's word on the clean scene, ``(N, 521)``."""
    embedding: Halves
    """``(N, 1024)``."""
    sound: npt.NDArray[np.int64]
    """Which recording of the list each window is of, ``(N,)``."""

    def of(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Windows:
        """Some of the windows."""
        return Windows(
            self.patches[keep], self.middle[keep], self.scores[keep], self.embedding[keep], self.sound[keep]
        )


FIELDS: Final = ("patches", "middle", "scores", "embedding", "sound")


def shards(sounds: Sequence[Sound]) -> list[list[int]]:
    """Indices of the recordings of each file: one source a file, so that more of one changes no other's."""
    by_source: dict[str, list[int]] = {}
    for at, one in enumerate(sounds):
        by_source.setdefault(one.source, []).append(at)
    return [some[at : at + SHARD] for some in by_source.values() for at in range(0, len(some), SHARD)]


def _path(sounds: Sequence[Sound], shard: Sequence[int], number: int, folder: Path) -> Path:
    first = sounds[shard[0]]
    name = "".join(letter if letter.isalnum() else "-" for letter in first.key)
    return folder / f"{name}-{len(shard)}-pass{number}.npz"


def prepare(
    sounds: Sequence[Sound],
    passes: int,
    load: Load,
    told: Callable[[int, int], None],
    folder: Path = CACHE,
) -> None:
    """Makes the files that are missing, pass by pass. ``told`` hears how many of how many are done."""
    folder.mkdir(parents=True, exist_ok=True)
    teacher = Teacher()
    todo = [(shard, number) for number in range(passes) for shard in shards(sounds)]
    for done, (shard, number) in enumerate(todo, 1):
        path = _path(sounds, shard, number, folder)
        if not path.exists():
            made = _make(sounds, shard, number, load, teacher)
            part = path.with_suffix(".part.npz")
            np.savez(part, **{name: getattr(made, name) for name in FIELDS})
            part.rename(path)
        told(done, len(todo))


def _make(
    sounds: Sequence[Sound], shard: Sequence[int], number: int, load: Load, teacher: Teacher
) -> Windows:
    rows: list[tuple[npt.NDArray[np.generic], ...]] = []
    for place, at in enumerate(shard):
        made = scene(sounds[at], number, backgrounds(sounds, sounds[at].side), load)
        clean = patches(made.clean)
        scores, embedding, middle = teacher.judge(clean)
        heard = clean
        if made.heard is not made.clean:
            heard = patches(made.heard)
            middle = teacher.middle(heard)
        halves = [part.astype(np.float16) for part in (heard, middle, scores, embedding)]
        rows.append((*halves, np.full(len(heard), place, np.int64)))
    return Windows(*(np.concatenate(part) for part in zip(*rows, strict=True)))


def _files(
    sounds: Sequence[Sound], wanted: Callable[[Sound], bool], passes: int, folder: Path
) -> Iterator[Windows]:
    for number in range(passes):
        for shard in shards(sounds):
            path = _path(sounds, shard, number, folder)
            if not path.exists() or not any(wanted(sounds[at]) for at in shard):
                continue
            with np.load(path) as file:
                found = Windows(*(file[name] for name in FIELDS))
            sound = np.array(shard, np.int64)[found.sound]
            keep = np.array([wanted(sounds[at]) for at in sound], np.bool_)
            yield Windows(found.patches, found.middle, found.scores, found.embedding, sound).of(keep)


def load_windows(
    sounds: Sequence[Sound], learns: Learns, passes: int, folder: Path = CACHE, *, whole: bool = True
) -> Windows:
    """Reads what a network learns from. Files that are not yet made are left out.

    ``whole`` False leaves the patches empty: who trains on the middle needs half the memory.
    """
    found = [
        some if whole else Windows(some.patches[:, :0], some.middle, some.scores, some.embedding, some.sound)
        for some in _files(sounds, learns.learns, passes, folder)
    ]
    if not found:
        raise FileNotFoundError(f"{folder} has no windows: run `python -m models.train.audio prepare` first")
    return Windows(*(np.concatenate([getattr(some, name) for some in found]) for name in FIELDS))
