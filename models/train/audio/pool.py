"""Audio from Debian's packages: many hours that are no gunfire, and games' weapons.

``packages.csv`` names each package, what its audio is, whether training, validation or test hears it, and
how many minutes at most. The packages are unpacked by hand: ``apt-get download NAME`` and
``dpkg -x NAME*.deb FOLDER/NAME``.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import av
import numpy as np

from edge.detect.audio.log_mel import RATE, Samples16k
from models.train.audio.degrade import decode
from models.train.audio.index import Role, Side, Sound, share_of

TABLE: Final = Path(__file__).with_name("packages.csv")
SUFFIXES: Final = (".ogg", ".oga", ".wav", ".flac", ".mp3", ".opus")
ARCHIVES: Final = (".pk3", ".zip", ".wz", ".rcc")
PIECE_S: Final = 10
SHORT_S: Final = 0.15


@dataclass(frozen=True, slots=True)
class Package:
    """A row of ``packages.csv``."""

    name: str
    label: str
    """calm or game."""
    role: Role
    side: Side
    minutes: float
    what: str


def read_packages(table: Path = TABLE) -> list[Package]:
    """The packages, in the table's order."""
    with table.open(newline="") as rows:
        return [
            Package(
                row["package"],
                row["label"],
                Role(row["role"]),
                Side(row["side"]),
                float(row["minutes"]),
                row["what"],
            )
            for row in csv.DictReader(rows)
        ]


def licences(folder: Path) -> str:
    """The licences that a package's copyright file names, the commonest first."""
    files = list(folder.glob("usr/share/doc/*/copyright"))
    found: dict[str, int] = {}
    for file in files:
        for name in re.findall(r"^License:[ \t]*(\S.*)$", file.read_text(errors="replace"), re.MULTILINE):
            found[name.strip()] = found.get(name.strip(), 0) + 1
    return ", ".join(sorted(found, key=lambda name: -found[name])) or "see its copyright file"


def _files(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names and readers of all audio files, those inside archives too."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(folder))
        if path.suffix.lower() in SUFFIXES:
            yield name, path.read_bytes
        elif path.suffix.lower() in ARCHIVES and zipfile.is_zipfile(path):
            archive = zipfile.ZipFile(path)
            for member in sorted(archive.namelist()):
                if member.lower().endswith(SUFFIXES):
                    yield f"{name}!{member}", partial(archive.read, member)


def _sounds_of(
    files: Sequence[tuple[str, Callable[[], bytes]]], seconds: float
) -> Iterator[tuple[str, Samples16k]]:
    """Pieces of the files in drawn order, so that a part of a package stands for all of it."""
    left = seconds
    for name, read in sorted(files, key=lambda file: share_of(file[0])):
        if left <= 0:
            return
        try:
            samples = decode(io.BytesIO(read()), 3 * PIECE_S)
        except av.FFmpegError:
            continue
        for at in range(0, len(samples), PIECE_S * RATE):
            piece = samples[at : at + PIECE_S * RATE]
            if len(piece) >= SHORT_S * RATE and np.abs(piece).max() > 1e-3:
                left -= max(len(piece) / RATE, 1.0)
                yield f"{name}#{at // RATE}", piece


def unpack(package: Package, packages: Path, pool: Path) -> int:
    """Decodes a package into ``pool``, once. Returns how many pieces it has there."""
    table, sound = pool / f"{package.name}.json", pool / f"{package.name}.npy"
    if not table.exists():
        pool.mkdir(parents=True, exist_ok=True)
        pieces = list(_sounds_of(list(_files(packages / package.name)), 60 * package.minutes))
        whole = np.concatenate([piece for _, piece in pieces]) if pieces else np.empty(0, np.float32)
        np.save(sound, (np.clip(whole, -1, 1) * 32767).astype(np.int16))
        table.write_text(
            json.dumps(
                {
                    "licences": licences(packages / package.name),
                    "pieces": [[name, len(piece)] for name, piece in pieces],
                }
            )
        )
    return len(json.loads(table.read_text())["pieces"])


class Pool:
    """The decoded packages."""

    def __init__(self, pool: Path, packages: Sequence[Package] | None = None) -> None:
        self.sounds: list[Sound] = []
        """Every piece as a recording."""
        self.hours = 0.0
        self._where: dict[str, tuple[Path, int, int]] = {}
        for package in read_packages() if packages is None else packages:
            table = pool / f"{package.name}.json"
            if table.exists():
                self._add(package, pool / f"{package.name}.npy", json.loads(table.read_text())["pieces"])

    def _add(self, package: Package, sound: Path, pieces: list[tuple[str, int]]) -> None:
        at = 0
        for name, count in pieces:
            key = f"{package.name}/{name}"
            self._where[key] = (sound, at, count)
            source = f"debian {package.name}"
            self.sounds.append(Sound(key, package.label, source, source, package.side, package.role))
            at += count
        self.hours += at / RATE / 3600

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def load(self, sound: Sound) -> Samples16k:
        """The samples of a piece."""
        path, at, count = self._where[sound.key]
        return np.load(path, mmap_mode="r")[at : at + count].astype(np.float32) / np.float32(32767)
