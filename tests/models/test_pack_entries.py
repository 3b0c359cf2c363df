"""The manifest of a pack has an entry for each model. Putting one in leaves the others as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.detect import default_model_directory, read_pack
from edge.detect.check import check_model
from models.train.record import put_model
from tests.detect.audio.tiny_audio_model import tiny_audio_onnx, tiny_spec
from tests.detect.sight.tiny_frame_model import tiny_frame_onnx, tiny_frame_spec


def entries(pack: Path) -> dict[str, Any]:
    return {model["kind"]: model for model in json.loads((pack / "manifest.json").read_text())["models"]}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """The shipped motion model in a pack of its own, with the tiny audio model."""
    shipped = read_pack(default_model_directory())
    shutil.copy(shipped.path_of(shipped.motion.model), tmp_path)
    put_model(tmp_path, shipped.motion)
    (tmp_path / "tiny.onnx").write_bytes(tiny_audio_onnx())
    put_model(tmp_path, tiny_spec())
    return tmp_path


def test_an_audio_model_joins_with_its_scores_and_the_motion_model_stays(pack: Path) -> None:
    found = entries(pack)
    shipped = read_pack(default_model_directory())
    assert read_pack(pack).motion == shipped.motion
    assert read_pack(pack).manifest.version == "2", "each model that joins counts it up"
    heard = found["audio"]["recorded"]
    assert set(heard) == {"silence", "hum", "noise", "click", "shot", "volley", "cry"}
    gunfire = {name: scores[0] for name, scores in heard.items()}
    assert gunfire["silence"] < 0.01 < 0.9 < gunfire["noise"]


def test_a_newer_model_takes_the_place_of_its_kind(pack: Path) -> None:
    put_model(pack, tiny_spec().model_copy(update={"name": "newer"}))
    assert [model.name for model in read_pack(pack).manifest.models] == ["fight-lite0", "newer"]


def test_a_frame_model_joins_with_its_scores(pack: Path) -> None:
    add_sight(pack)
    assert list(entries(pack)) == ["motion", "audio", "frame"]
    seen = entries(pack)["frame"]["recorded"]
    assert set(seen) == {"still", "pan", "walker", "brawl", "noise"}
    assert 0.1 < seen["still"][1] < 0.9


def add_sight(pack: Path) -> None:
    (pack / "seen.onnx").write_bytes(tiny_frame_onnx())
    spec = tiny_frame_spec()
    file = spec.model.model_copy(update={"file": "seen.onnx"})
    put_model(pack, spec.model_copy(update={"name": "seen", "model": file}))


def test_every_model_of_a_pack_is_checked_and_timed(pack: Path) -> None:
    add_sight(pack)
    found = check_model(pack, 1000.0)
    assert [(model.kind, model.unit) for model in found.models] == [
        ("motion", "sample"),
        ("audio", "window of audio"),
        ("frame", "frame"),
    ]
    assert [model.recorded_missed_by for model in found.models[1:]] == [0.0, 0.0]
    assert min(model.ms_p50 for model in found.models) > 0
    assert found.categories == ("fight", "gunfire", "explosion", "scream", "firearm", "blood")
    assert found.within_budget
    assert not check_model(pack, min(found.models[0].ms_p50, found.models[1].ms_p50) / 100).within_budget
