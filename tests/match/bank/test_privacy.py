"""Only the owner can read bank files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli.app import app
from edge.match import Bank, BankInfo, exposed


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def _generous_umask() -> object:
    before = os.umask(0o000)
    yield
    os.umask(before)


def test_a_new_bank_and_its_folder_are_private(tmp_path: Path) -> None:
    Bank.create(tmp_path / "banks" / "known")
    assert modes(tmp_path / "banks") == {0o600}
    assert stat.S_IMODE((tmp_path / "banks").stat().st_mode) == 0o700
    assert exposed(tmp_path / "banks") == []


def test_a_write_makes_private_what_was_not(tmp_path: Path) -> None:
    folder = tmp_path / "banks"
    bank = Bank.create(folder / "known")
    (folder / "other-000001.seg").write_bytes(b"")
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    assert len(exposed(folder)) == 4
    result = CliRunner().invoke(app, ["bank", "list", str(folder)])
    assert (result.exit_code, "chmod -R go=" in result.stderr) == (0, True)
    assert "chmod" in CliRunner().invoke(app, ["bank", "verify", str(folder / "known")]).stderr
    bank.change(BankInfo(label="x"))
    assert modes(folder) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not CliRunner().invoke(app, ["bank", "list", str(folder)]).stderr


def test_a_folder_that_holds_more_than_banks_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    (folder / "notes.txt").write_text("for everybody")
    (folder / "notes.txt").chmod(0o644)
    Bank.create(folder / "known")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "notes.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE((folder / "known.bank").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "banks"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    Bank.create(folder / "known")
    assert {path.stat().st_uid for path in folder.iterdir()} == {12345}
