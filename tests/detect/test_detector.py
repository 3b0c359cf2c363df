"""The shipped model keeps its contract. A model that breaks it is refused as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.detect import Detector, default_model_directory
from edge.errors import InvalidInput, ModelError

Edit = Callable[[Callable[[dict[str, Any]], None]], Path]


def test_shipped_file_is_the_manifests(detector: Detector) -> None:
    directory = default_model_directory()
    model = detector.manifest.model
    content = (directory / model.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == model.sha256
    assert len(content) == model.bytes
    assert detector.digest == hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()


def test_public_attributes(detector: Detector) -> None:
    assert detector.categories == ("fight",)
    assert detector.delta_ms == 100
    height, width = detector.input_size
    assert (height, width) == (detector.manifest.input.height, detector.manifest.input.width)


def test_infer_gives_finite_embedding_and_probability(detector: Detector) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, *detector.input_size), dtype=np.uint8)
    score = detector.infer(planes)
    assert score.embedding.shape == (detector.manifest.output.embedding_size,)
    assert score.embedding.dtype == np.float32
    assert np.isfinite(score.embedding).all()
    assert score.scores.shape == (1,)
    assert 0.0 <= score.scores[0] <= 1.0


def test_brightness_alone_is_invisible(detector: Detector) -> None:
    """The graph sees change only. Any two still frames score the same."""
    dark = np.zeros((3, *detector.input_size), dtype=np.uint8)
    bright = np.full_like(dark, 200)
    np.testing.assert_array_equal(detector.infer(dark).embedding, detector.infer(bright).embedding)


@pytest.mark.parametrize(
    "planes",
    [
        np.zeros((3, 8, 8), dtype=np.uint8),
        np.zeros((1, 224, 224), dtype=np.uint8),
        np.zeros((3, 224, 224), dtype=np.float32),
    ],
)
def test_wrong_planes_are_refused_by_name(detector: Detector, planes: Any) -> None:
    with pytest.raises(InvalidInput, match="planes"):
        detector.infer(planes)


def test_changed_model_bytes_are_refused(model_copy: Path, detector: Detector) -> None:
    path = model_copy / detector.manifest.model.file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="sha256"):
        Detector.load(model_copy)


def test_truncated_model_is_refused(model_copy: Path, detector: Detector) -> None:
    path = model_copy / detector.manifest.model.file
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"model\.bytes"):
        Detector.load(model_copy)


def test_garbage_with_the_right_digest_is_refused(edit_manifest: Edit, model_copy: Path) -> None:
    garbage = b"not an onnx file" * 10

    def adopt(manifest: dict[str, Any]) -> None:
        (model_copy / manifest["model"]["file"]).write_bytes(garbage)
        manifest["model"] |= {"sha256": hashlib.sha256(garbage).hexdigest(), "bytes": len(garbage)}

    with pytest.raises(ModelError, match="not a usable ONNX"):
        Detector.load(edit_manifest(adopt))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("input", "name"), "pixels", "inputs"),
        (("input", "focus"), 96, "input shape"),
        (("input", "height"), 96, "short_side 280 is over"),
        (("input", "dtype"), "float32", "input.dtype"),
        (("output", "logits"), "missing", "output 'missing'"),
        (("output", "embedding"), "logits", "output 'logits'"),
        (("model", "file"), "../../etc/passwd", "model.file"),
        (("model", "file"), "absent.onnx", "absent.onnx"),
        (("window_ms",), 0, "window_ms"),
        (("categories",), [], "categories"),
        (("surprise",), 1, "surprise"),
    ],
)
def test_manifest_that_lies_is_refused(
    edit_manifest: Edit, path: tuple[str, ...], value: Any, named: str
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        part = manifest
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value

    with pytest.raises(ModelError, match=named.replace(".", r"\.")):
        Detector.load(edit_manifest(change))


@pytest.mark.parametrize(
    ("key", "value"),
    [("cut", 1.5), ("flag", 0.0), ("cut", float("nan"))],
)
def test_thresholds_out_of_order_or_range_are_refused(edit_manifest: Edit, key: str, value: float) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["categories"][0]["thresholds"] |= {"raise_tier": 0.2, "flag": 0.5, "cut": 0.9}
        manifest["categories"][0]["thresholds"][key] = value

    with pytest.raises(ModelError, match="thresholds"):
        Detector.load(edit_manifest(change))


def test_second_category_needs_a_second_logit(edit_manifest: Edit) -> None:
    def change(manifest: dict[str, Any]) -> None:
        other = json.loads(json.dumps(manifest["categories"][0]))
        other["name"] = "weapon"
        manifest["categories"].append(other)
        manifest["recorded"] = manifest["recorded_windows"] = {}

    with pytest.raises(ModelError, match="output 'logits'"):
        Detector.load(edit_manifest(change))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_broken_manifest_is_refused(model_copy: Path, content: bytes) -> None:
    (model_copy / "manifest.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        Detector.load(model_copy)


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="absent"):
        Detector.load(tmp_path / "absent")
