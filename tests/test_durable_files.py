"""Files that appear whole, private and synced, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.api.auth import ensure_token_file, parse_tokens
from edge.durable_files import appearing, append_durably, create_file, reserve, write_file
from edge.errors import ConfigError
from edge.supervise.authority import admission_key
from tests.small_disk import fill, small_disk


def test_a_file_is_synced_then_named_then_its_folder_is_synced(
    synced: list[tuple[str, int]], tmp_path: Path
) -> None:
    path = tmp_path / "f"
    write_file(path, b"whole")
    assert synced == [("file", 5), ("folder", 1)]
    assert create_file(tmp_path / "g", b"made")
    append_durably(path, b"+")
    assert synced[2:] == [("file", 4), ("folder", 2), ("file", 6), ("folder", 2)]
    assert path.read_bytes() == b"whole+"
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}


def test_what_fails_on_the_way_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_file(path, b"before")

    def fail_halfway() -> None:
        with appearing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["f"]


def test_what_is_there_is_never_made_again(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for there in (lambda: path.write_bytes(b"theirs"), lambda: path.symlink_to(tmp_path / "nowhere")):
        path.unlink(missing_ok=True)
        there()
        assert not create_file(path, b"ours")
        assert os.listdir(tmp_path) == ["f"]
    assert path.is_symlink()


def test_a_file_system_without_links_makes_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: str, target: Path) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", link)
    assert create_file(tmp_path / "f", b"ours")
    assert not create_file(tmp_path / "f", b"other")
    assert (tmp_path / "f").read_bytes() == b"ours"
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("make", [ensure_token_file, admission_key])
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_full_disk_leaves_no_half_secret(kind: str, make: Callable[[Path], object], tmp_path: Path) -> None:
    with small_disk(tmp_path, kind, 2) as disk:
        ballast = fill(disk)
        path = disk / "secret"
        with pytest.raises(ConfigError, match="No space left"):
            make(path)
        assert not path.exists()
        ballast.unlink()
        make(path)
        assert path.stat().st_size > 0
        if make is ensure_token_file:
            assert [person.name for person in parse_tokens(path)] == ["local"]


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_what_is_reserved_can_be_written_on_a_full_disk(kind: str, tmp_path: Path) -> None:
    with small_disk(tmp_path, kind, 4) as disk, (disk / "f").open("wb", buffering=0) as file:
        reserve(file.fileno(), 1 << 20)
        assert os.fstat(file.fileno()).st_size == 0
        fill(disk)
        for _ in range(256):
            assert file.write(b"x" * 4096) == 4096
            os.fsync(file.fileno())
        with pytest.raises(OSError, match="No space left"):
            reserve(file.fileno(), 2 << 20)
