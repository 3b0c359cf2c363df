"""The images that the firearm model learns from, and which of them are held out."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import av
from PIL import Image

from models.train.index import DATA

Label = Literal["firearm", "knife", "tool", "game", "calm"]
Role = Literal["train", "validation", "test"]
PICTURES = (".jpg", ".jpeg", ".png", ".tga")

TEST_SOURCES = frozenset({"guns333", "game-cs2"})
"""Held out whole. No choice rests on them."""
VALIDATION_SOURCES = frozenset(
    {"sofwerx-ak47", "sofwerx-soldiers", "sofwerx-farmtools", "sofwerx-metalwood", "imagenet-random"}
)
"""Every choice rests on them, and on a quarter of the groups of the other negatives."""
TEST_ACTIONS = frozenset(
    f"sf40-{action}"
    for action in (
        "looking_through_a_microscope",
        "shooting_an_arrow",
        "phoning",
        "playing_violin",
        "drinking",
        "feeding_a_horse",
        "pushing_a_cart",
        "using_a_computer",
        "washing_dishes",
    )
)
"""People who hold something to the face or the hand."""
SHARED_BY_TOKEN = 0.25
STILLS_TAKEN = 8
"""Every eighth still is used. They show the same few fights."""


@dataclass(frozen=True)
class Picture:
    """One labelled image: a file, or a frame of a clip."""

    path: Path
    label: Label
    source: str
    group: str
    frame_s: float | None = None
    """Seconds from the clip's beginning. None for a still."""
    box: float | None = None
    """Root of the weapon's share of the image, where it is known."""

    @cached_property
    def key(self) -> str:
        """Names the image's cached views."""
        name = f"{self.source}/{self.path.name}/{self.path.parent.name}@{self.frame_s}"
        return hashlib.sha256(name.encode()).hexdigest()[:20]

    @property
    def firearm(self) -> bool:
        return self.label == "firearm"

    @property
    def role(self) -> Role:
        """What the image is for while designs are compared."""
        if self.source in TEST_SOURCES or self.group in TEST_ACTIONS:
            return "test"
        if self.source in VALIDATION_SOURCES or (not self.firearm and _token(self.group) < SHARED_BY_TOKEN):
            return "validation"
        return "train"

    def open(self) -> Image.Image:
        """The image in RGB. Transparent parts are grey."""
        if self.frame_s is not None:
            return frame_at(self.path, self.frame_s)
        with Image.open(self.path) as stored:
            if stored.mode not in ("RGBA", "LA", "P"):
                return stored.convert("RGB")
            layered = stored.convert("RGBA")
            ground = Image.new("RGBA", layered.size, (96, 96, 96, 255))
            return Image.alpha_composite(ground, layered).convert("RGB")


def frame_at(path: Path, seconds: float) -> Image.Image:
    """The first frame of a clip at or after ``seconds``, or its last one."""
    with av.open(str(path)) as container:
        found = None
        for frame in container.decode(video=0):
            found = frame
            if frame.time is not None and frame.time >= seconds:
                break
    if found is None:
        raise ValueError(f"{path}: no frame")
    return Image.fromarray(found.to_ndarray(format="rgb24"))


def read_pictures(data: Path = DATA, art: Path | None = None) -> list[Picture]:
    """Every image, in a fixed order. ``art`` is a folder with images of games: icons, menus, scenes."""
    return [*_sight(data / "sight"), *_clips(data), *_stills(data), *(_art(art) if art else ())]


def of_role(pictures: list[Picture], wanted: Callable[[Picture], bool]) -> list[Picture]:
    return [picture for picture in pictures if wanted(picture)]


def _sight(folder: Path) -> Iterator[Picture]:
    for row in _rows(folder / "sight.csv"):
        box = float(row["box_sqrt_area"]) if row["box_sqrt_area"] else None
        label: Label = row["label"]  # type: ignore[assignment]
        yield Picture(folder / row["path"], label, row["source"], row["group"], box=box)


def _clips(data: Path) -> Iterator[Picture]:
    """Frames of our footage. Nobody holds a firearm in it."""
    for folder in (data, data / "more-clips"):
        for row in _rows(folder / "clips.csv"):
            path = folder / row["path"]
            source = "clips-" + (path.parent.name if folder == data else row["group"].split("-")[0])
            label: Label = "game" if "/games/" in row["path"] else "calm"
            for at in (0.4,):
                yield Picture(path, label, source, row["group"], frame_s=at)


def _stills(data: Path) -> Iterator[Picture]:
    for row in _rows(data / "stills.csv")[::STILLS_TAKEN]:
        path = data / row["path"]
        # A hundred neighbouring names show one match: they stay together.
        yield Picture(path, "calm", "stills", f"{path.stem[:12]}")


def _art(folder: Path) -> Iterator[Picture]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURES:
            package = path.relative_to(folder).parts[0]
            yield Picture(path, "game", f"art-{package}", f"art-{package}-{path.parent.name}")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as rows:
        return list(csv.DictReader(rows))


def _token(group: str) -> float:
    """A number from 0 to 1 that only the group's name decides."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:4]) / 2**32
