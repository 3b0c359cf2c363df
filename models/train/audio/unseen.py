"""What networks that share the shipped one's recipe make of sources that they never heard.

The file that this writes holds each recording's highest score, so that figures need neither the audio nor the
training packages: ``python -m models.sound_report``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.detect.audio.audio_model import AudioModel
from models.train.audio.degrade import CONDITIONS
from models.train.audio.index import Learns, Sound
from models.train.audio.scenes import Load, generator
from models.train.audio.ship import Heard, hear

FIELDS = ("key", "label", "source", "group", "hours", "best")
"""Of a recording. Anything else is its highest scores under a condition."""


def changed(load: Load, condition: str) -> Load:
    """Reads recordings under a condition, the same every time."""
    return lambda sound: CONDITIONS[condition](load(sound), generator(sound.key, 999))


def judged(model: AudioModel, learns: Learns, sounds: Sequence[Sound], load: Load) -> dict[str, Any]:
    """What a network made of the recordings that it is measured on, for the file."""
    heard = hear(model, [one for one in sounds if learns.measures(one)], load)
    events = [one for one, _, _ in heard if one.label == "gunfire"]
    under = {name: _best(hear(model, events, changed(load, name))) for name in CONDITIONS if name != "clean"}
    return {
        "flag": {
            one.name: one.thresholds.flag for one in model.spec.categories if one.thresholds.flag is not None
        },
        "recordings": [
            {
                "key": sound.key,
                "label": sound.label,
                "source": sound.source,
                "group": sound.group,
                "hours": round(hours, 6),
                "best": best,
            }
            | {name: found[sound.key] for name, found in under.items() if sound.key in found}
            for (sound, _, hours), best in zip(heard, _best(heard).values(), strict=True)
        ],
    }


def _best(heard: Heard) -> dict[str, list[float]]:
    """Each recording's highest score of every category, in the model's order, to three digits."""
    return {sound.key: [float(f"{max(row):.3g}") for row in scores.values()] for sound, scores, _ in heard}


def write_unseen(path: Path, networks: dict[str, dict[str, Any]]) -> None:
    """Writes the file: recordings by label and source, a line each. A group that is its source is empty."""
    parts = []
    for name, network in networks.items():
        head = json.dumps({key: value for key, value in network.items() if key != "recordings"})
        rows: dict[str, list[str]] = {}
        for one in network["recordings"]:
            group = "" if one["group"] == one["source"] else one["group"]
            under = {key: value for key, value in one.items() if key not in FIELDS}
            row = [group, round(one["hours"], 5), one["best"], *([under] if under else [])]
            rows.setdefault(f"{one['label']}/{one['source']}", []).append(
                json.dumps(row, separators=(",", ":"))
            )
        sources = ",\n".join(f"{json.dumps(key)}: [\n{_lines(some)}\n]" for key, some in rows.items())
        parts.append(f'"{name}": {head[:-1]}, "recordings": {{\n{sources}\n}}}}')
    path.write_text("{" + ",\n".join(parts) + "}\n")


def _lines(rows: Sequence[str]) -> str:
    return ",\n".join(rows)
