"""``model import yamnet``: a pack from the published file, and clear refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.cli.app import app
from edge.detect import default_model_directory, read_pack
from edge.detect.default_policy import policy_for
from edge.detect.importing.joined_pack import join_pack
from edge.detect.loaded_pack import LoadedPack
from edge.domain import Action
from edge.errors import InvalidInput
from tests.detect.audio.tiny_audio_model import tiny_audio_onnx, tiny_spec
from tests.detect.importing.test_yamnet import small_form, spectra_form

if not os.environ.get("CI"):  # there nothing may be missing
    pytest.importorskip("tflite")
    pytest.importorskip("onnx")


def imported(file: Path, into: Path, *options: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["model", "import", "yamnet", str(file), "--into", str(into), *options])
    return found.exit_code, found.output


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "yamnet.tflite"
    path.write_bytes(spectra_form())
    return path


def test_it_makes_a_pack_that_a_worker_loads(published: Path, tmp_path: Path) -> None:
    code, output = imported(published, tmp_path / "pack", "--json")
    assert code == 0, output
    said = json.loads(output)
    assert set(said["categories"]) == {"fight", "firearm", "gunfire", "explosion", "scream"}
    assert (said["form"], said["directory"]) == ("log_mel", str(tmp_path / "pack"))
    loaded = LoadedPack.load(tmp_path / "pack")
    assert loaded.digest == said["digest"]
    assert loaded.audio is not None
    assert loaded.audio.categories == ("gunfire", "explosion", "scream")
    assert sorted(os.listdir(tmp_path)) == ["pack"]
    policy = policy_for(read_pack(tmp_path / "pack").manifest)
    alone = {name: part.alone for name, part in policy.categories.items()}
    assert alone == {
        "fight": Action.CUT,
        "firearm": Action.FLAG,
        "gunfire": Action.FLAG,
        "explosion": Action.FLAG,
        "scream": Action.PASS,
    }


def test_people_are_told_how_to_go_on(published: Path, tmp_path: Path) -> None:
    code, output = imported(published, tmp_path / "pack")
    assert code == 0
    assert "edge-gate model swap" in output


def test_another_audio_model_is_replaced(published: Path, tmp_path: Path) -> None:
    content = tiny_audio_onnx()
    base = join_pack(
        read_pack(default_model_directory()), tiny_spec(content=content), content, tmp_path / "base"
    )
    assert [model.name for model in base.manifest.audio] == ["tiny"]
    code, output = imported(published, tmp_path / "pack", "--pack", str(tmp_path / "base"), "--json")
    assert code == 0, output
    assert [name for name in json.loads(output)["models"] if name.startswith("audio")] == ["audio yamnet"]
    assert sorted(path.name for path in (tmp_path / "pack").glob("*.onnx")) == [
        "fight-lite0-int8.onnx",
        "firearm-lite0-int8.onnx",
        "yamnet.onnx",
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"no model", "no TensorFlow Lite file"), (None, "not YAMNet"), (b"", "no TensorFlow")],
)
def test_what_is_no_yamnet_is_refused_and_leaves_nothing(
    content: bytes | None, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.tflite"
    file.write_bytes(small_form() if content is None else content)
    code, output = imported(file, tmp_path / "pack")
    assert code != 0
    assert says in " ".join(output.split())
    assert not (tmp_path / "pack").exists()


def test_a_missing_file_and_a_full_folder_are_refused(published: Path, tmp_path: Path) -> None:
    code, output = imported(tmp_path / "none.tflite", tmp_path / "pack")
    assert code != 0
    assert "none.tflite" in output.replace("\n", "")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "mine").write_text("kept")
    code, output = imported(published, tmp_path / "pack")
    assert code != 0
    assert "not empty" in " ".join(output.split())
    assert (tmp_path / "pack" / "mine").read_text() == "kept"
    content, shipped = tiny_audio_onnx(), read_pack(default_model_directory())
    with pytest.raises(InvalidInput, match="--into"):
        join_pack(shipped, tiny_spec(content=content), content, tmp_path / "pack")


def own(file: Path, entry: Path, into: Path) -> tuple[int, str]:
    found = CliRunner().invoke(
        app, ["model", "import", "onnx", str(file), str(entry), "--into", str(into), "--json"]
    )
    return found.exit_code, found.output


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """An audio model of one's own, and what a manifest says of it."""
    content = tiny_audio_onnx()
    (tmp_path / "own.onnx").write_bytes(content)
    entry = json.loads(tiny_spec(content=content).model_dump_json(exclude={"model", "recorded"}))
    return tmp_path / "own.onnx", entry


def test_a_model_of_ones_own_joins_the_shipped_pack(
    tiny: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    file, entry = tiny
    (tmp_path / "entry.json").write_text(json.dumps(entry))
    code, output = own(file, tmp_path / "entry.json", tmp_path / "pack")
    assert code == 0, output
    assert json.loads(output)["models"] == ["motion fight-lite0", "frame firearm-lite0", "audio tiny"]
    loaded = LoadedPack.load(tmp_path / "pack")
    assert loaded.audio is not None
    assert loaded.audio.spec.model.file == "own.onnx"
    assert set(loaded.audio.missed_by().values()) == {0.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "motion"}, "kind: 'motion' is neither audio nor frame"),
        ({"output": {"name": "scores", "size": 4}}, "manifest wants (4,)"),
        ({"model": {"sha256": "0" * 64}}, "model.sha256: is '0000"),
        ({"categories": []}, "entry.json: categories"),
        ({"models": []}, "is no entry of `models`"),
    ],
)
def test_what_does_not_keep_its_word_is_refused(
    tiny: tuple[Path, dict[str, Any]], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    file, entry = tiny
    (tmp_path / "entry.json").write_text(json.dumps(entry | change))
    code, output = own(file, tmp_path / "entry.json", tmp_path / "pack")
    assert code == 1
    assert said in " ".join(output.split())
    assert not (tmp_path / "pack").exists()


def test_the_documented_way_to_add_the_teacher_works_as_written(shared: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tune" / "own-model.md").read_text()
    entry = page.split("<<'END'\n", 1)[1].split("END\n", 1)[0]
    (tmp_path / "teacher.json").write_text(entry)
    teacher = shared / "data" / "sounds" / "teacher" / "yamnet_fp32.onnx"
    code, output = own(teacher, tmp_path / "teacher.json", tmp_path / "teacher-pack")
    assert code == 0, output
    found = CliRunner().invoke(app, ["model", "check", str(tmp_path / "teacher-pack"), "--budget-ms", "1000"])
    assert found.exit_code == 0, found.output
    assert "yamnet-teacher" in found.output
