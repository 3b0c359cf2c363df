"""A frame model keeps its manifest's word, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.detect import default_model_directory, read_pack
from edge.detect.loaded_pack import LoadedPack
from edge.detect.sight.frame_model import FrameModel
from edge.detect.sight.recorded_frames import frame_scores
from edge.detect.witness_specs import FrameSpec
from edge.errors import ModelError
from tests.detect.sight.tiny_frame_model import HEIGHT, WIDTH, tiny_frame_onnx, tiny_frame_spec

PATH = Path("tiny.onnx")


def load(spec: FrameSpec | None = None, content: bytes | None = None) -> FrameModel:
    content = tiny_frame_onnx() if content is None else content
    return FrameModel.load(spec or tiny_frame_spec(content=content), content, PATH)


def picture(value: tuple[int, int, int], shape: tuple[int, int] = (HEIGHT, WIDTH)) -> Any:
    return np.full((*shape, 3), value, np.uint8)


def test_it_scores_lying_and_upright_frames() -> None:
    model = load()
    for shape in model.shapes:
        assert model.infer(picture((200, 200, 200), shape))["firearm"] > 0.99
        assert model.infer(picture((40, 40, 40), shape))["firearm"] < 0.01


def test_channels_are_red_green_and_blue() -> None:
    model = load()
    assert model.infer(picture((90, 10, 10)))["blood"] > 0.99
    assert model.infer(picture((10, 10, 90)))["blood"] < 0.01


def test_both_layouts_mean_the_same() -> None:
    content = tiny_frame_onnx(layout="NHWC")
    last = load(tiny_frame_spec(content=content, layout="NHWC"), content)
    drawn = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    assert last.infer(drawn) == pytest.approx(load().infer(drawn), abs=1e-5)


@pytest.mark.parametrize(
    ("spec", "content", "said"),
    [
        (tiny_frame_spec(name="rgb"), tiny_frame_onnx(), r"inputs \['pixels'\], manifest says 'rgb'"),
        (tiny_frame_spec(dtype="float32"), tiny_frame_onnx(), r"is tensor\(uint8\), manifest says float32"),
        (tiny_frame_spec(), tiny_frame_onnx(height=HEIGHT), r"does not run on 64x32 pixels"),
        (tiny_frame_spec(layout="NHWC"), tiny_frame_onnx(), r"does not run on 32x64 pixels"),
        (tiny_frame_spec(), b"no graph", r"not a usable ONNX model"),
    ],
    ids=["input", "type", "turns", "layout", "no graph"],
)
def test_what_does_not_keep_its_word_is_refused(spec: FrameSpec, content: bytes, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load(spec, content)


def test_output_of_another_size_is_refused() -> None:
    spec = tiny_frame_spec()
    wrong = spec.model_copy(update={"output": spec.output.model_copy(update={"size": 3})})
    with pytest.raises(ModelError, match=r"output 'logits' is \(2,\), manifest wants \(3,\)"):
        load(wrong)
    missing = spec.model_copy(update={"output": spec.output.model_copy(update={"name": "scores"})})
    with pytest.raises(ModelError, match=r"output 'scores' is missing"):
        load(missing)


def test_scores_are_held_to_the_recorded_ones() -> None:
    spec = tiny_frame_spec()
    scores = frame_scores(spec, load().infer)
    right = spec.model_copy(update={"recorded": scores})
    assert max(load(right).missed_by().values()) < 0.001
    moved = {name: tuple(abs(score - 0.02) for score in values) for name, values in scores.items()}
    with pytest.raises(ModelError, match=r"frame 'still' scores 0\.020 away from what the manifest"):
        load(spec.model_copy(update={"recorded": moved}))


def with_frames(directory: Path, *names: str) -> Path:
    """The shipped motion model and tiny frame models of these names, as a pack."""
    base = read_pack(default_model_directory())
    content = tiny_frame_onnx()
    models = [base.motion.model_dump(mode="json")]
    (directory / base.motion.model.file).write_bytes(base.models[base.motion.model.file])
    for name in names:
        spec = tiny_frame_spec(content=content).model_dump(mode="json")
        spec["name"], spec["model"]["file"] = name, f"{name}.onnx"
        for category in spec["categories"]:
            category["name"] += f"_{name}"
        (directory / f"{name}.onnx").write_bytes(content)
        models.append(spec)
    manifest = {"schema_version": 2, "name": "mine", "version": "1", "models": models}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def test_a_pack_with_a_frame_model_is_loaded(tmp_path: Path) -> None:
    pack = LoadedPack.load(with_frames(tmp_path, "sees"))
    assert pack.sight is not None
    assert pack.sight.categories == ("firearm_sees", "blood_sees")
    assert pack.audio is None


def test_two_frame_models_are_refused_by_name(tmp_path: Path) -> None:
    pack = read_pack(with_frames(tmp_path, "sees", "watches"))
    with pytest.raises(ModelError, match="more than one model of kind frame: sees, watches"):
        FrameModel.of(pack)
