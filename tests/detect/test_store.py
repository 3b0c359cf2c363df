"""The store of the model in force: whole, verified, with its note."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge.detect import default_model_directory, read_manifest
from edge.detect.store import Choice, ModelStore
from edge.errors import ModelError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    place = tmp_path / "given"
    place.mkdir()
    manifest = json.loads((default_model_directory() / "manifest.json").read_text()) | {"version": "other"}
    shutil.copy(default_model_directory() / manifest["model"]["file"], place)
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


def choice(digest: str, configured: Path) -> Choice:
    return Choice(
        digest=digest, configured=str(configured), set_wall_ms=1, set_by="a", reason="b", sample_ms=4.0
    )


def test_what_was_taken_stays_whatever_becomes_of_the_original(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", tmp_path / "configured")
    assert store.in_force() == tmp_path / "configured"
    place, manifest, digest = store.take(model)
    assert (manifest.version, read_manifest(place)[1]) == ("other", digest)
    shutil.rmtree(model)
    assert store.in_force() == tmp_path / "configured"  # A model that is taken is not chosen yet.
    store.choose(choice(digest, tmp_path / "configured"))
    assert ModelStore(tmp_path / "models", tmp_path / "configured").in_force() == place
    store.choose(None)
    assert store.in_force() == tmp_path / "configured"


def test_other_settings_count_for_more(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", tmp_path / "configured")
    _, _, digest = store.take(model)
    store.choose(choice(digest, tmp_path / "configured"))
    assert ModelStore(tmp_path / "models", tmp_path / "newer").in_force() == tmp_path / "newer"


def test_damage_is_told_and_repaired_by_taking_it_again(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", tmp_path / "configured")
    place, manifest, digest = store.take(model)
    store.choose(choice(digest, tmp_path / "configured"))
    (place / manifest.model.file).write_bytes(b"torn")
    with pytest.raises(ModelError, match="4 bytes"):
        store.in_force()
    assert store.take(model)[0] == place == store.in_force()
    (tmp_path / "models" / "in-force.json").write_text("{")
    with pytest.raises(ModelError, match="remove it to have the model of the settings"):
        store.in_force()


def test_what_is_not_what_its_manifest_says_is_not_taken(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", tmp_path / "configured")
    file = next(model.glob("*.onnx"))
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(ModelError, match="sha256"):
        store.take(model)
    assert not (tmp_path / "models").exists()


def test_tidy_keeps_what_is_named(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", tmp_path / "configured")
    place, _, digest = store.take(model)
    (tmp_path / "models" / ("0" * 64)).mkdir()
    store.tidy(digest)
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == [place]
