"""An audio model has the same scores on every machine, or is refused there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge.detect.audio.audio_model import AudioModel
from edge.detect.audio.audio_windows import FRAMES, ListeningRules
from edge.detect.audio.log_mel import BANDS, HOP, WINDOW
from edge.detect.audio.recorded_audio import audio_scores, drawn_patches, drawn_sounds
from edge.detect.witness_specs import AudioSpec
from edge.errors import ModelError
from tests.detect.audio.tiny_audio_model import tiny_audio_onnx, tiny_spec

SHOT = "ec7f9faa"
FILE = Path("tiny.onnx")


def recorded_spec() -> AudioSpec:
    spec, content = tiny_spec(), tiny_audio_onnx()
    scores = audio_scores(spec, AudioModel.load(spec, content, FILE).infer)
    return spec.model_copy(update={"recorded": scores})


def changed(spec: AudioSpec, by: float) -> AudioSpec:
    gunfire, *others = spec.recorded["shot"]
    return spec.model_copy(update={"recorded": spec.recorded | {"shot": (gunfire + by, *others)}})


def test_drawn_sounds_are_one_window_each_and_the_same_everywhere() -> None:
    sounds = drawn_sounds()
    assert {len(samples) for samples in sounds.values()} == {FRAMES * HOP + WINDOW - HOP}
    assert all(np.abs(samples).max() <= 1.0 for samples in sounds.values())
    coarse = (sounds["shot"] * 1000).round().astype("<i2")
    assert hashlib.sha256(coarse.tobytes()).hexdigest().startswith(SHOT)
    for patch in drawn_patches(ListeningRules()).values():
        assert patch.shape == (FRAMES, BANDS)
        assert np.isfinite(patch).all()


def test_a_model_that_scores_as_recorded_is_loaded() -> None:
    model = AudioModel.load(recorded_spec(), tiny_audio_onnx(), FILE)
    assert max(model.missed_by().values()) == 0.0
    assert AudioModel.load(tiny_spec(), tiny_audio_onnx(), FILE).missed_by() == {}


@pytest.mark.parametrize(("by", "refused"), [(0.009, False), (-0.009, False), (0.011, True), (-0.011, True)])
def test_a_model_that_scores_differently_here_is_refused(by: float, refused: bool) -> None:
    spec = changed(recorded_spec(), by)
    if not refused:
        AudioModel.load(spec, tiny_audio_onnx(), FILE)
        return
    with pytest.raises(ModelError, match=r"sound 'shot' scores 0\.011 away .* limit is 0\.01.*processor"):
        AudioModel.load(spec, tiny_audio_onnx(), FILE)


def test_audio_that_is_transformed_differently_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check takes the gate's own way from samples to scores."""
    spec = recorded_spec()
    monkeypatch.setattr("edge.detect.audio.log_mel._WEIGHTS", np.zeros((257, BANDS), np.float32))
    with pytest.raises(ModelError, match="sound '"):
        AudioModel.load(spec, tiny_audio_onnx(), FILE)


def test_a_score_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = recorded_spec()
    monkeypatch.setattr(
        AudioModel, "infer", lambda *_: dict.fromkeys(("gunfire", "explosion", "scream"), float("nan"))
    )
    with pytest.raises(ModelError, match="scores nan away"):
        AudioModel.load(spec, tiny_audio_onnx(), FILE)
