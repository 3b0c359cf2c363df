"""A pack's manifest: what it says, and how it is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edge.detect import default_model_directory, read_pack
from edge.detect.default_policy import policy_for
from edge.detect.pack_files import PackManifest, parse_manifest
from edge.domain import Action
from edge.errors import ModelError

PATH = Path("pack/manifest.json")


def frame(**values: Any) -> dict[str, Any]:
    return {
        "kind": "frame",
        "name": "sees",
        "version": "1",
        "model": {"file": "sees.onnx", "sha256": "1" * 64, "bytes": 1},
        "input": {"name": "pixels", "height": 160, "width": 288, "turns": True},
        "output": {"name": "logits", "size": 1},
        "categories": [
            {
                "name": "firearm",
                "outputs": [0],
                "calibration": {"slope": 1.0, "offset": 0.0},
                "persistence": {"k": 2, "n": 3},
                "go_on_at": 0.4,
                "thresholds": {"raise_tier": 0.3, "flag": 0.6},
            }
        ],
    } | values


def audio(**values: Any) -> dict[str, Any]:
    return {
        "kind": "audio",
        "name": "hears",
        "version": "1",
        "model": {"file": "hears.onnx", "sha256": "2" * 64, "bytes": 1},
        "input": {"name": "log_mel"},
        "output": {"name": "scores", "size": 3},
        "categories": [
            {
                "name": "gunfire",
                "outputs": [0, 1],
                "go_on_at": 0.3,
                "thresholds": {"raise_tier": 0.3, "flag": 0.66},
            },
            {"name": "scream", "outputs": [2], "go_on_at": 0.3, "thresholds": {"raise_tier": 0.5}},
        ],
    } | values


def pack(*models: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"schema_version": 2, "name": "mine", "version": "7", "models": list(models)} | values


def parsed(values: dict[str, Any]) -> PackManifest:
    return parse_manifest(json.dumps(values).encode(), PATH)


def test_a_pack_lists_its_models_and_their_categories() -> None:
    manifest = parsed(pack(audio(), frame()))
    assert manifest.categories == ("gunfire", "scream", "firearm")
    assert [model.name for model in manifest.audio + manifest.frames] == ["hears", "sees"]
    assert manifest.motion is None


def test_a_manifest_of_schema_1_is_a_pack_of_one_motion_model(tmp_path: Path) -> None:
    motion = read_pack(default_model_directory()).motion.model_dump(mode="json")
    del motion["kind"], motion["licence"], motion["card"]
    motion["model"] |= {"file": "m.onnx", "sha256": hashlib.sha256(b"m").hexdigest(), "bytes": 1}
    (tmp_path / "m.onnx").write_bytes(b"m")
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 1, **motion}))
    found = read_pack(tmp_path)
    assert (found.manifest.name, found.motion.name) == (motion["name"], motion["name"])
    assert found.models == {"m.onnx": b"m"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pack(schema_version=3), r"schema_version: is 3; this gate reads 1 and 2"),
        (pack(), r"models: "),
        (pack(frame(kind="thermal")), r"models\.0\.kind: 'thermal' is none of motion, frame, audio; a newer"),
        (pack(frame(), frame(name="other")), r"files repeat: sees\.onnx"),
        (pack(frame(), audio(name="sees")), r"models: names repeat: sees"),
        (
            pack(audio(), audio(name="b", model=frame()["model"])),
            r"categories: names repeat: gunfire, scream",
        ),
        (pack(audio(output={"name": "s", "size": 2})), r"models\.0: .*scream\.outputs: 2 is no column"),
        (pack(audio(input={"name": "x", "rate": 8000})), r"models\.0\.input\.rate: Input should be 16000"),
        (pack(frame(input=frame()["input"] | {"mean": [1, 1, 1]})), r"models\.0\.input: mean and scale"),
        (pack(frame(input=frame()["input"] | {"height": 4096})), r"models\.0\.input\.height: .*1024"),
        (pack(frame(recorded={"still": [0.1, 0.2]})), r"recorded\.still: 2 scores, there are 1 categories"),
        (pack(frame(surprise=1)), r"models\.0\.surprise: "),
    ],
)
def test_a_wrong_manifest_names_the_field_and_the_limit(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        parsed(values)


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ({"raise_tier": 0.5, "flag": 0.4}, "raise_tier <= flag <= cut"),
        ({"raise_tier": 0.5, "cut": 0.9}, "cut needs flag"),
        ({"raise_tier": 1.5}, "thresholds.raise_tier"),
    ],
)
def test_thresholds_are_ordered(thresholds: dict[str, float], said: str) -> None:
    values = frame()
    values["categories"][0]["thresholds"] = thresholds
    with pytest.raises(ModelError, match=said):
        parsed(pack(values))


def test_what_a_threshold_leaves_out_is_not_done_alone() -> None:
    policy = policy_for(parsed(pack(audio(), frame())))
    alone = {name: part.alone for name, part in policy.categories.items()}
    assert alone == {"gunfire": Action.FLAG, "scream": Action.PASS, "firearm": Action.FLAG}
    assert policy.categories["gunfire"].flag_at == 0.66


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"schema_version": true}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="manifest"):
        parse_manifest(content, PATH)
