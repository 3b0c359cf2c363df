"""The copies of banks that workers read: whole, verified, and never fewer without a removal on record."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import BankError
from edge.match import Bank, Entry, EntryKind, Footage, HashRun
from edge.match.bank import manifest
from edge.match.bank.manifest import bank_files
from edge.match.bank.verified_copies import BankProblem, Extent, refresh_copies
from edge.reasons import AlarmReason

Usage = namedtuple("Usage", "total used free")


def image(name: str, number: int = 0) -> Footage:
    return Footage(Entry(name, EntryKind.IMAGE, note="made up"), (HashRun(bytes([number] * 32)),))


class Folders:
    """A folder of banks, its copies, and what they hold."""

    def __init__(self, folder: Path) -> None:
        self.source, self.copies = folder / "banks", folder / "copies"
        self.bank = Bank.create(self.source / "known")
        self.bank.add_footage([image(f"e{number}", number) for number in range(6)])

    def refresh(self, extent: Extent = Extent.ALL) -> list[tuple[str, AlarmReason]]:
        return [(problem.bank, problem.reason) for problem in self.problems(extent)]

    def problems(self, extent: Extent = Extent.ALL) -> tuple[BankProblem, ...]:
        return refresh_copies(self.source, self.copies, extent)

    @property
    def segment(self) -> Path:
        (path,) = (segment.path for segment in Bank.open(self.source / "known").segments)
        return path

    @property
    def copied_segment(self) -> Path:
        (path,) = (segment.path for segment in Bank.open(self.copies / "known", verify=False).segments)
        return path

    def served(self, name: str = "known") -> list[str]:
        return sorted(entry.id for entry, _ in Bank.open(self.copies / name).entries())


ALL = [f"e{number}" for number in range(6)]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    assert made.refresh() == []
    assert made.served() == ALL
    return made


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def test_a_copy_is_private_says_the_same_and_follows_each_change(folders: Folders) -> None:
    original, copy = Bank.open(folders.source / "known"), Bank.open(folders.copies / "known")
    assert [s.digest for s in copy.segments] == [s.digest for s in original.segments]
    assert stat.S_IMODE(folders.copies.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folders.copies.iterdir()} == {0}
    folders.bank.remove(["e0"])
    folders.bank.set_quarantined(["e1"], True)
    folders.bank.add_footage([image("new", 9)])
    assert folders.refresh(Extent.NEW) == []
    assert folders.served() == [*ALL[1:], "new"]
    assert Bank.open(folders.copies / "known").manifest.quarantined == ("e1",)
    folders.bank.compact()
    assert folders.refresh(Extent.NEW) == []
    assert folders.served() == [*ALL[1:], "new"]
    assert len(list(folders.copies.glob("*.seg"))) == 1


@pytest.mark.parametrize("extent", Extent)
def test_a_torn_bank_is_told_and_its_last_good_copy_serves(folders: Folders, extent: Extent) -> None:
    whole = folders.segment.read_bytes()
    os.truncate(folders.segment, len(whole) // 2)
    assert folders.refresh(extent) == [("known", AlarmReason.UNREADABLE)]
    assert folders.served() == ALL
    folders.source.joinpath("known.bank").write_bytes(b'{"edge_gate_bank": 1, ')
    assert folders.refresh(extent) == [("known", AlarmReason.UNREADABLE)]
    assert folders.served() == ALL


def test_a_flipped_bit_is_told_where_every_byte_is_read(folders: Folders) -> None:
    flip_a_bit(folders.segment)
    assert folders.refresh(Extent.COPIES) == []
    assert folders.refresh(Extent.ALL) == [("known", AlarmReason.UNREADABLE)]
    assert folders.served() == ALL


def test_a_new_bank_with_a_flipped_bit_is_never_served(tmp_path: Path) -> None:
    made = Folders(tmp_path)
    flip_a_bit(made.segment)
    for extent in Extent:
        assert made.refresh(extent) == [("known", AlarmReason.LOST)]
        assert not bank_files(made.copies)
        assert not list(made.copies.iterdir())


def test_a_bank_or_a_folder_that_is_gone_is_told_and_serves_on(folders: Folders) -> None:
    Bank.create(folders.source / "empty")
    assert folders.refresh() == []
    folders.source.joinpath("known.bank").unlink()
    assert folders.refresh() == [("known", AlarmReason.MISSING)]
    shutil.rmtree(folders.source)
    assert folders.refresh() == [("known", AlarmReason.MISSING)]
    assert folders.served() == ALL
    assert [path.name for path in bank_files(folders.copies)] == ["known.bank"]
    folders.source.write_text("not a folder")
    assert folders.refresh() == [("", AlarmReason.UNREADABLE), ("known", AlarmReason.UNREADABLE)]
    assert folders.served() == ALL


def test_an_older_copy_or_another_bank_of_that_name_has_lost_something(
    folders: Folders, tmp_path: Path
) -> None:
    older = shutil.copytree(folders.source, tmp_path / "older")
    folders.bank.add_footage([image("new", 9)])
    assert folders.refresh() == []
    shutil.rmtree(folders.source)
    shutil.copytree(older, folders.source)
    (problem,) = folders.problems()
    assert problem.reason is AlarmReason.FEWER
    assert "1 entries and 1 hashes fewer" in problem.detail
    assert folders.served() == [*ALL, "new"]
    Bank.open(folders.source / "known").accept_loss(1)
    assert folders.refresh() == []
    assert folders.served() == ALL
    shutil.rmtree(folders.source)
    Bank.create(folders.source / "known").add_footage([image("other", 7)])
    assert folders.refresh() == [("known", AlarmReason.FEWER)]


def test_what_is_removed_on_record_is_no_loss(folders: Folders) -> None:
    folders.bank.remove(ALL[:5])
    folders.bank.compact()
    assert folders.refresh() == []
    assert folders.served() == ["e5"]
    folders.bank.remove(["e5"])
    folders.bank.compact()
    assert folders.refresh() == []
    folders.source.joinpath("known.bank").unlink()
    assert folders.refresh() == []
    assert not bank_files(folders.copies)


def test_a_damaged_copy_is_made_again(folders: Folders) -> None:
    os.truncate(folders.copied_segment, 10)
    assert folders.refresh(Extent.NEW) == []
    flip_a_bit(folders.copied_segment)
    assert folders.refresh(Extent.COPIES) == []
    folders.copies.joinpath("known.bank").write_text("torn")
    assert folders.refresh(Extent.NEW) == []
    shutil.rmtree(folders.copies)
    assert folders.refresh(Extent.NEW) == []
    assert folders.served() == ALL
    os.truncate(folders.segment, 10)
    os.truncate(folders.copied_segment, 10)
    assert folders.refresh() == [("known", AlarmReason.LOST)]


def test_a_bank_that_cannot_be_copied_costs_no_other(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.bank.add_footage([image("new", 9)])
    Bank.create(folders.source / "more").add_footage([image("more", 10)])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 100))
    assert folders.refresh() == [("known", AlarmReason.NOT_COPIED), ("more", AlarmReason.LOST)]
    assert folders.served() == ALL
    monkeypatch.undo()
    assert folders.refresh() == []
    assert folders.served() == [*ALL, "new"]
    assert folders.served("more") == ["more"]


def test_a_disk_that_fills_up_while_copying_leaves_the_last_good_copy(folders: Folders) -> None:
    """The process meets a real limit: no file of it may grow beyond two KiB."""
    folders.bank.add_footage([image(f"n{number}", number) for number in range(10, 60)])
    before = sorted(path.name for path in folders.copies.iterdir())
    run = f"ulimit -f 2; exec {sys.executable} -B -m edge.match.bank.verified_copies {{}} {{}} new"
    said = subprocess.run(
        ["bash", "-c", run.format(folders.source, folders.copies)],
        capture_output=True,
        check=True,
    )
    assert [problem["reason"] for problem in json.loads(said.stdout)] == ["not_copied"]
    assert sorted(path.name for path in folders.copies.iterdir()) == before
    assert folders.served() == ALL
    assert folders.refresh() == []


def test_a_bank_that_is_compacted_while_it_is_read_is_no_alarm(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.bank.add_footage([image("new", 9)])
    read = list[Path]()

    def read_manifest(path: Path) -> Any:
        found = manifest.read_manifest(path)
        if path.parent == folders.source and not read:
            read.append(path)
            folders.bank.compact()
        return found

    monkeypatch.setattr("edge.match.bank.verified_copies.read_manifest", read_manifest)
    assert folders.refresh(Extent.NEW) == []
    assert folders.served() == [*ALL, "new"]
    assert read


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "compact", "cut short", "flip", "delete", "older", "restore"]),
            st.integers(0, 2**16),
        ),
        max_size=8,
    )
)
def test_whatever_happens_to_the_files_nothing_is_lost_without_a_removal_on_record(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The good state is kept aside. The files of the bank are damaged at will."""
    folder = tmp_path_factory.mktemp("steps")
    made = Folders(folder)
    good = folder / "good"
    made.refresh(Extent.NEW)
    expected, older = set(ALL), shutil.copytree(made.source, folder / "first")

    def keep() -> None:
        shutil.rmtree(good, ignore_errors=True)
        shutil.copytree(made.source, good)

    def restore(state: Path) -> None:
        shutil.rmtree(made.source)
        shutil.copytree(state, made.source)

    keep()
    for number, (step, chance) in enumerate(steps):
        files = sorted(path for path in made.source.iterdir() if path.suffix in (".bank", ".seg"))
        if step in ("add", "remove", "compact", "restore"):
            restore(good)
            bank = Bank.open(made.source / "known")
            if step == "add":
                bank.add_footage([image(f"a{number}", 10 + number)])
                expected.add(f"a{number}")
            elif step == "remove" and expected:
                bank.remove([gone := sorted(expected)[chance % len(expected)]])
                expected.discard(gone)
            elif step == "compact":
                bank.compact()
            keep()
        elif step == "older":
            restore(older)
        elif files:
            victim = files[chance % len(files)]
            content = bytearray(victim.read_bytes())
            if step == "delete":
                victim.unlink()
            elif step == "cut short":
                os.truncate(victim, chance % len(content) if content else 0)
            elif content:
                content[chance % len(content)] ^= 1 << chance % 8
                victim.write_bytes(content)
        problems = made.refresh()
        # An older state may bring back what was removed since. That takes nothing away.
        assert set(made.served()) >= expected, (step, problems)
    restore(good)
    assert made.refresh() == []
    assert set(made.served()) == expected


def test_a_copy_that_replaces_another_is_named_on_disk(
    synced: list[tuple[str, int]], folders: Folders
) -> None:
    """Its manifest is the same as before, so that nothing else syncs the folder."""
    flip_a_bit(folders.copied_segment)
    synced.clear()
    assert folders.refresh() == []
    names = len(os.listdir(folders.copies))
    assert [size for kind, size in synced if kind == "folder"][-1] == names
    assert [kind for kind, _ in synced] == ["file", "folder", "folder"]


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_a_bank_file_does_not_hang(folders: Folders) -> None:
    for path in (folders.segment, folders.source / "known.bank"):
        path.unlink()
        os.mkfifo(path)
        assert folders.refresh() == [("known", "unreadable")]
        with pytest.raises(BankError, match="regular file"):
            Bank.open(folders.source / "known.bank")
    assert folders.served() == ALL
