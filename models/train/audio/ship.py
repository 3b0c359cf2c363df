"""From a fitted network to an entry of a pack: its calibration, its thresholds, what it was measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge.detect.audio.audio_model import AudioModel
from edge.detect.manifest import Calibration, ModelFile
from edge.detect.witness_specs import (
    AloneThresholds,
    AudioSpec,
    KOfN,
    RowOutput,
    SpectrumInput,
    WitnessCategory,
)
from models.gate_hearing import plain, scores_of, with_pauses
from models.train.audio.choose import Row, calibrate, log_odds, thresholds
from models.train.audio.export import INPUT, OUTPUT
from models.train.audio.index import Sound
from models.train.audio.scenes import Load
from models.train.audio.teacher import CATEGORIES
from models.train.record import put_model

NAME: Final = "ears"
CARD: Final = "cards/ears.md"
PERSISTENCE: Final = KOfN(k=2, n=5)
GO_ON_AT: Final = 0.3
"""Score, before calibration, from which the next window is judged whatever it brings."""
PLAIN: Final = Calibration(slope=1.0, offset=0.0)
COUNTS: Final = {
    "gunfire": (("gunfire",), ("calm", "fireworks", "scream")),
    "explosion": ((), ("calm", "scream")),
    "scream": (("scream",), ("calm", "fireworks", "gunfire")),
}
"""Labels of the recordings with a category, and of those without it. Others, as games, tell nothing of it."""

Heard = Sequence[tuple[Sound, dict[str, list[float]], float]]
"""Recordings, the scores that each gives by category, and their hours."""


def spec_of(content: bytes, file: str, version: str, categories: Sequence[WitnessCategory]) -> AudioSpec:
    """The manifest's entry for a student's ONNX file."""
    return AudioSpec(
        kind="audio",
        name=NAME,
        version=version,
        model=ModelFile(file=file, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        licence="Apache-2.0",
        card=CARD,
        input=SpectrumInput(name=INPUT),
        output=RowOutput(name=OUTPUT, size=len(CATEGORIES)),
        categories=tuple(categories),
    )


def category(column: int, calibration: Calibration, at: AloneThresholds) -> WitnessCategory:
    """A category of the entry. Calibration does not change the score of the network from which it goes on."""
    return WitnessCategory(
        name=CATEGORIES[column],
        outputs=(column,),
        calibration=calibration,
        persistence=PERSISTENCE,
        go_on_at=round(calibration.probability(log_odds(GO_ON_AT)), 4),
        thresholds=at,
    )


def raw_model(content: bytes, path: Path) -> AudioModel:
    """The network before calibration: its scores are the sigmoids of its outputs."""
    at = AloneThresholds(raise_tier=1.0)
    plainly = [category(column, PLAIN, at) for column in range(len(CATEGORIES))]
    return AudioModel.load(spec_of(content, path.name, "0", plainly), content, path)


def hear(model: AudioModel, sounds: Sequence[Sound], load: Load) -> Heard:
    """What the gate makes of recordings, each alone on its stream."""
    found = []
    for sound in sounds:
        samples = load(sound)
        scores = scores_of(model, with_pauses(samples), plain)
        found.append((sound, scores, len(samples) / 16_000 / 3600))
    return found


def rows_of(heard: Heard, name: str) -> list[Row]:
    """The recordings that tell something of a category."""
    positive, negative = COUNTS[name]
    return [
        Row(np.array(scores[name]), sound.label in positive, hours)
        for sound, scores, hours in heard
        if sound.label in (*positive, *negative)
    ]


def chosen(heard: Heard) -> list[WitnessCategory]:
    """Calibration and thresholds from what ``raw_model`` heard.

    No recording is labelled as an explosion. Its scores are on the scale of gunfire, and its flag rests on
    sounds that are none.
    """
    guns = calibrate(rows_of(heard, "gunfire"))
    found = []
    for column, name in enumerate(CATEGORIES):
        rows = rows_of(heard, name)
        own = calibrate(rows) if any(row.positive for row in rows) else guns
        found.append(category(column, own, thresholds(rows, own, alone=name != "scream")))
    return found


def ship(content: bytes, directory: Path, version: str, heard: Heard, learnt: Sequence[Sound]) -> AudioSpec:
    """Writes the file and its entry into the pack in ``directory``. Returns the entry."""
    path = directory / f"{NAME}.onnx"
    path.write_bytes(content)
    digest = hashlib.sha256("\n".join(sorted(sound.key for sound in learnt)).encode()).hexdigest()
    spec = spec_of(content, path.name, version, chosen(heard)).model_copy(update={"data_digest": digest})
    put_model(directory, spec)
    return spec
