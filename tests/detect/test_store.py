"""The store of the model in force: whole, verified, with its note."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from edge.detect import read_pack
from edge.detect import store as store_module
from edge.detect.store import Choice, ModelStore
from edge.errors import ModelError
from tests.shipped_pack import copy_pack


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return copy_pack(tmp_path / "given", version="other")


def choice(digest: str, configured: Path) -> Choice:
    return Choice(
        digest=digest, configured=str(configured), set_wall_ms=1, set_by="a", reason="b", sample_ms=4.0
    )


def test_what_was_taken_stays_whatever_becomes_of_the_original(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", tmp_path / "configured")
    assert store.in_force() == tmp_path / "configured"
    taken = store.take(model)
    place, digest = taken.directory, taken.digest
    assert (taken.manifest.version, read_pack(place).digest) == ("other", digest)
    shutil.rmtree(model)
    assert store.in_force() == tmp_path / "configured"  # A model that is taken is not chosen yet.
    store.choose(choice(digest, tmp_path / "configured"))
    assert ModelStore(tmp_path / "models", tmp_path / "configured").in_force() == place
    store.choose(None)
    assert store.in_force() == tmp_path / "configured"


def test_other_settings_count_for_more(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", tmp_path / "configured")
    digest = store.take(model).digest
    store.choose(choice(digest, tmp_path / "configured"))
    assert ModelStore(tmp_path / "models", tmp_path / "newer").in_force() == tmp_path / "newer"


def test_damage_is_told_and_repaired_by_taking_it_again(tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", tmp_path / "configured")
    taken = store.take(model)
    place, digest = taken.directory, taken.digest
    store.choose(choice(digest, tmp_path / "configured"))
    (place / taken.motion.model.file).write_bytes(b"torn")
    with pytest.raises(ModelError, match="4 bytes"):
        store.in_force()
    assert store.take(model).directory == place == store.in_force()
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
    place, digest = (taken := store.take(model)).directory, taken.digest
    (tmp_path / "models" / ("0" * 64)).mkdir()
    store.tidy(digest)
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == [place]


def test_workers_read_a_copy_of_the_settings_model_whatever_becomes_of_it(
    tmp_path: Path, model: Path
) -> None:
    store = ModelStore(tmp_path / "models", model)
    place, problem = store.verified_copy()
    assert (place.parent, problem, store.damage()) == (tmp_path / "models", "", "")
    digest = read_pack(place).digest
    onnx = next(model.glob("*.onnx"))
    whole = onnx.read_bytes()
    onnx.write_bytes(whole[:100])
    assert "100 bytes" in store.damage()
    copy, problem = ModelStore(tmp_path / "models", model).verified_copy()
    assert (copy, read_pack(copy).digest) == (place, digest)
    assert "100 bytes" in problem
    store.tidy()
    assert place.is_dir()
    shutil.rmtree(model)
    assert store.verified_copy()[0] == place
    with pytest.raises(ModelError):
        ModelStore(tmp_path / "models", tmp_path / "another").verified_copy()


def test_a_damaged_copy_is_made_again_and_without_room_the_settings_model_judges(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path / "models", model)
    place, _ = store.verified_copy()
    next(place.glob("*.onnx")).write_bytes(b"torn")
    assert store.verified_copy() == (place, "")
    read_pack(place)

    def no_room(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_module, "write_file", no_room)
    other, problem = ModelStore(tmp_path / "elsewhere", model).verified_copy()
    assert other == model
    assert "cannot keep a copy: No space left" in problem


def test_a_copy_is_on_disk_under_its_name_before_it_is_used(
    synced: list[tuple[str, int]], tmp_path: Path, model: Path
) -> None:
    place = ModelStore(tmp_path / "models", model).take(model).directory
    files = sorted(path.stat().st_size for path in place.iterdir())
    assert sorted(size for kind, size in synced if kind == "file") == files
    assert synced[-1] == ("folder", 1)  # of the store, which has got the copy


@pytest.mark.parametrize(
    "name", ["manifest.json", "in-force.json", "configured.json", "fight-lite0-int8.onnx"]
)
@pytest.mark.timeout(20)
def test_what_is_no_regular_file_neither_hangs_nor_runs_on(name: str, tmp_path: Path, model: Path) -> None:
    store = ModelStore(tmp_path / "models", model)
    store.verified_copy()
    places = [folder / name for folder in (model, store.folder)]
    (path,) = [path for path in places if path.exists()] or places[1:]
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    if name == "in-force.json":
        with pytest.raises(ModelError, match="regular file"):
            store.choice()
        return
    # The last good copy serves as long as it is known which one that is.
    assert (store.verified_copy()[1] == "") is (name == "configured.json")
