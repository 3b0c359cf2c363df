"""Banks on disk: everything is read back, changes are atomic, damage is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import AlreadyExists, BankError, InvalidInput, NotFound
from edge.match import (
    AudioPrint,
    Bank,
    BankInfo,
    BankPurpose,
    BankSet,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Variant,
    bank_info,
)
from edge.match.bank import bank as bank_module
from edge.match.bank import manifest as manifest_module
from edge.match.bank.bank_update import Existing, Updated, Withdrawal
from edge.match.bank.segment import Segment
from edge.match.bank.segment_builder import SegmentBuilder, write_segment

hashes = st.binary(min_size=32, max_size=32)
runs = st.builds(
    HashRun,
    bits=hashes | st.sampled_from([bytes(32), b"\xff" * 32]),
    start_ms=st.integers(0, 2**32 - 1),
    span_ms=st.integers(0, 10_000),
    quality=st.integers(0, 100),
    variant=st.sampled_from(Variant),
)
names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)
footage = st.lists(
    st.builds(
        Footage,
        st.builds(
            Entry,
            id=names,
            kind=st.sampled_from(EntryKind),
            label=names,
            note=st.text(st.characters(categories=["L", "N", "P"]), max_size=30),
            duration_ms=st.integers(0, 10**9),
        ),
        st.lists(runs, min_size=1, max_size=6).map(tuple),
        st.none() | st.builds(AudioPrint, st.binary(min_size=1, max_size=300).map(lambda b: b * 4)),
    )
    | hashes.map(lambda bits: Footage(Entry(bits.hex(), EntryKind.IMAGE), (HashRun(bits),))),
    max_size=8,
    unique_by=lambda f: f.entry.id,
)


def item(name: str, *seeds: int) -> Footage:
    entry = Entry(name, EntryKind.VIDEO, label="fight", duration_ms=1000)
    return Footage(entry, tuple(HashRun(random_bits(s), start_ms=40 * i) for i, s in enumerate(seeds)))


def random_bits(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(32)


def contents(items: list[Footage]) -> dict[Entry, tuple[list[HashRun], AudioPrint | None]]:
    """A comparable form. The order of hashes with the same time is not part of the contract."""
    return {
        f.entry: (sorted(f.hashes, key=lambda r: (r.start_ms, r.variant, r.bits)), f.audio) for f in items
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(footage)
def test_a_segment_gives_back_what_went_in(tmp_path: Path, items: list[Footage]) -> None:
    path = tmp_path / "a-000001.seg"
    digest = write_segment(path, items)
    segment = Segment.open(path)
    assert segment.digest == digest
    assert contents(list(segment.footage())) == contents(items)
    for one in items:
        assert segment.find(one.entry.id) == one.entry
    assert segment.find("no such entry") is None
    assert segment.find("0" * 64) in (None, *(f.entry for f in items))


def test_a_plain_list_costs_32_bytes_a_hash(tmp_path: Path) -> None:
    builder = SegmentBuilder()
    for seed in range(500):
        bits = random_bits(seed)
        builder.add_footage(Footage(Entry(bits.hex(), EntryKind.IMAGE), (HashRun(bits),)))
    builder.write_to(tmp_path / "plain.seg")
    assert (tmp_path / "plain.seg").stat().st_size < 500 * 32 + 1024
    segment = Segment.open(tmp_path / "plain.seg")
    assert {f.hashes[0].bits for f in segment.footage()} == {random_bits(s) for s in range(500)}
    assert segment.find(random_bits(7).hex()) is not None
    assert segment.find(random_bits(1000).hex()) is None


def test_changes_are_seen_after_opening_anew(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known", BankInfo(opinion=BankPurpose.INVESTIGATE, label="fight"))
    assert bank.add_footage([item("a", 1, 2), item("b", 3)]) == 2
    bank.update([item("c", 4)], checkpoints=lambda: {"feed": "page-7"})
    bank.set_enabled(["a"], False)
    bank.remove(["b"])

    again = Bank.open(tmp_path / "known.bank")
    assert [(entry.id, enabled) for entry, enabled in again.entries()] == [("a", False), ("c", True)]
    assert again.manifest.checkpoints == {"feed": "page-7"}
    assert again.info.opinion is BankPurpose.INVESTIGATE
    assert again.manifest.entries == 2
    assert again.digest == bank.digest

    again.set_enabled(["a"], True)
    again.compact()
    assert [(entry.id, enabled) for entry, enabled in again.entries()] == [("a", True), ("c", True)]
    assert len(list(tmp_path.glob("*.seg"))) == 1


def test_an_id_cannot_be_there_twice_but_can_come_back(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([item("a", 1)])
    with pytest.raises(AlreadyExists, match="entry 'a' already"):
        bank.add_footage([item("b", 2), item("a", 3)])
    with pytest.raises(AlreadyExists):
        bank.add_footage([item("c", 2), item("c", 3)])
    assert [entry.id for entry, _ in bank.entries()] == ["a"]
    bank.remove(["a"])
    bank.add_footage([item("a", 9)])
    assert [f.hashes[0].bits for f in bank.footage()] == [random_bits(9)]
    with pytest.raises(AlreadyExists, match="exists already"):
        Bank.create(tmp_path / "known")


def test_an_update_replaces_skips_and_withdraws_in_one_step(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([item("a", 1), item("b", 2), item("c", 3)])
    changes: list[Footage | Withdrawal] = [
        item("a", 11),
        Withdrawal("b"),
        Withdrawal("ghost"),
        item("d", 4),
        item("e", 5),
        Withdrawal("e"),
    ]
    assert bank.update(changes, existing=Existing.REPLACE) == Updated(added=1, replaced=1, removed=1)
    assert {f.entry.id: f.hashes[0].bits for f in bank.footage()} == {
        "a": random_bits(11),
        "c": random_bits(3),
        "d": random_bits(4),
    }
    assert bank.manifest.entries == 3
    again = bank.update([item("a", 12), item("f", 6)], existing=Existing.SKIP)
    assert again == Updated(added=1, skipped=1)
    bank.compact()
    assert {f.entry.id: f.hashes[0].bits for f in bank.footage()}["a"] == random_bits(11)


def test_many_removals_end_in_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_module, "MAX_MARKED", 5)
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([item(f"e{i}", i) for i in range(20)])
    bank.remove([f"e{i}" for i in range(5)])
    assert [len(name.removed) for name in bank.manifest.segments] == [5]
    bank.remove(["e7"])
    assert not bank.manifest.segments[0].removed
    assert {entry.id for entry, _ in bank.entries()} == {f"e{i}" for i in range(5, 20)} - {"e7"}


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    with pytest.raises(NotFound, match="'ghost'"):
        bank.remove(["ghost"])
    with pytest.raises(NotFound, match="'ghost'"):
        bank.set_enabled(["ghost"], False)
    with pytest.raises(NotFound, match="no bank"):
        Bank.open(tmp_path / "other")
    with pytest.raises(InvalidInput, match="bank name"):
        Bank.create(tmp_path / "Über")
    with pytest.raises(InvalidInput, match="has neither"):
        bank.add_footage([Footage(Entry("empty", EntryKind.IMAGE), ())])


def test_two_writers_do_not_lose_each_others_entries(tmp_path: Path) -> None:
    one = Bank.create(tmp_path / "known")
    two = Bank.open(tmp_path / "known")
    for i in range(6):
        one.add_footage([item(f"one-{i}", i)])
        two.add_footage([item(f"two-{i}", 100 + i)])
    final = Bank.open(tmp_path / "known")
    assert len(list(final.entries())) == 12
    assert len(final.segments) <= bank_module.COMPACT_AT


def test_a_failed_import_leaves_no_trace(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([item("a", 1)])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def interrupted() -> object:
        yield item("b", 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bank.add_footage(interrupted())  # type: ignore[arg-type]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_interrupted_commit_leaves_no_segment_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([item("a", 1)])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bank_module, "write_manifest", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bank.add_footage([item("b", 2)])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    again = Bank.open(tmp_path / "known")
    again.add_footage([item("b", 2)])
    assert [entry.id for entry, _ in again.entries()] == ["a", "b"]


def test_damaged_segments_are_refused(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([item("a", 1, 2, 3)])
    path = next(tmp_path.glob("*.seg"))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    for content, problem in (
        (b"", "not a bank segment"),
        (b"RIFF" + whole[4:], "not a bank segment"),
        (whole[:60], "torn or damaged header"),
        (whole[:-1], "torn: "),
        (whole + b"\0", "torn: "),
        (bytes(flipped), "checksum differs"),
        (whole[:8] + b"\x09" + whole[9:], "format version 9"),
        (whole[:12] + b"\xff\xff\xff\xff" + whole[16:], "over the limit"),
    ):
        path.write_bytes(content)
        with pytest.raises(BankError, match=f"known-000001-[0-9a-f]+.seg: .*{problem}"):
            Bank.open(tmp_path / "known")
    path.unlink()
    with pytest.raises(BankError, match="No such file"):
        Bank.open(tmp_path / "known")


def test_a_segment_of_another_bank_is_refused(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([item("a", 1)])
    write_segment(next(tmp_path.glob("*.seg")), [item("a", 2)])
    with pytest.raises(BankError, match="not the segment that the manifest names"):
        Bank.open(tmp_path / "known")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text[: len(text) // 2], "not a bank manifest"),
        (lambda text: "{}", "not a bank manifest"),
        (lambda text: "[" * 100_000, "not a bank manifest"),
        (lambda text: text.replace('"edge_gate_bank": 1', '"edge_gate_bank": 2'), "version 2"),
        (lambda text: text.replace("violating", "benign"), "checksum differs"),
    ],
)
def test_damaged_manifests_are_refused(tmp_path: Path, change: object, problem: str) -> None:
    Bank.create(tmp_path / "known")
    path = tmp_path / "known.bank"
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(BankError, match=problem):
        Bank.open(path)


def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    Bank.create(tmp_path / "known")
    path = tmp_path / "known.bank"
    bank = json.loads(path.read_text())["bank"]
    bank["segments"] = [{"file": "../../etc/x.seg", "digest": "0" * 64, "hashes": 1, "entries": 1}]
    checksum = hashlib.sha256(manifest_module._canonical(bank)).hexdigest()
    path.write_text(json.dumps({"edge_gate_bank": 1, "sha256": checksum, "bank": bank}))
    with pytest.raises(BankError, match=r"segments\.0\.file"):
        Bank.open(path)


def test_a_bank_keeps_its_name(tmp_path: Path) -> None:
    Bank.create(tmp_path / "known").add_footage([item("a", 1)])
    (tmp_path / "known.bank").rename(tmp_path / "other.bank")
    with pytest.raises(BankError, match="named 'known'"):
        Bank.open(tmp_path / "other")


def test_whatever_is_called_a_bank_and_is_none_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bank")
    (tmp_path / "folder.bank").mkdir()
    (tmp_path / "link.bank").symlink_to(tmp_path / "nothing")
    found = BankSet().read_anew(tmp_path, (), strict=False)
    names = ("folder.bank", "link.bank", "pipe.bank")
    assert [name in text for name, text in zip(names, found.unreadable, strict=True)] == [True] * 3
    for name, problem in (("pipe", "not a regular file"), ("folder", "not a regular file")):
        with pytest.raises(BankError, match=problem):
            Bank.open(tmp_path / name)


def test_what_operators_say_is_checked() -> None:
    with pytest.raises(InvalidInput, match=r"bank\.label: .*64 characters"):
        bank_info(label="x" * 65)
    with pytest.raises(InvalidInput, match=r"bank\.enabled_ratio"):
        bank_info(enabled_ratio=2)


def test_marks_go_with_their_entry_and_stay_where_it_is_replaced(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([item("a", 1), item("b", 2), item("c", 3)])
    bank.set_enabled(["a", "b", "c"], False)
    bank.set_quarantined(["a", "b", "c"], True)
    bank.update([Withdrawal("a"), item("b", 12)], existing=Existing.REPLACE)
    assert bank.manifest.disabled == bank.manifest.quarantined == ("b", "c")
    bank.add_footage([item("a", 11)])
    bank.compact()
    assert [(entry.id, enabled) for entry, enabled in bank.entries()] == [
        ("c", False),
        ("b", False),
        ("a", True),
    ]
    assert bank.manifest.quarantined == ("b", "c")


def test_a_mark_of_an_entry_that_is_not_there_does_not_hold_for_a_new_one(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    document = bank.manifest.model_copy(update={"disabled": ("a", "z"), "quarantined": ("a",)})
    manifest_module.write_manifest(bank.path, document)
    bank.add_footage([item("a", 1)])
    assert (bank.manifest.disabled, bank.manifest.quarantined) == (("z",), ())


def test_a_change_of_our_own_is_never_an_unexplained_loss(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    runs = tuple(HashRun(bytes([n] * 32), n) for n in range(9))
    bank.add_footage(
        [Footage(Entry("film", EntryKind.VIDEO), runs), Footage(Entry("a", EntryKind.IMAGE), runs[:1])]
    )
    states = [bank.manifest]
    bank.update([Footage(Entry("film", EntryKind.VIDEO), runs[:2])], existing=Existing.REPLACE)
    states.append(bank.manifest)
    bank.compact()
    states.append(bank.manifest)
    bank.remove(["a", "film"])
    states.append(bank.manifest)
    bank.compact()
    states.append(bank.manifest)
    assert (states[0].hashes, states[-1].hashes) == (10, 0)
    for number, before in enumerate(states):
        for after in states[number:]:
            assert manifest_module.unexplained_loss(before, after) == ""
    assert manifest_module.unexplained_loss(states[-1], states[0]) == "0 entries and 2 hashes fewer"
    assert manifest_module.unexplained_loss(states[-1], None) == ""
    assert manifest_module.unexplained_loss(states[0], None) == "2 entries and 10 hashes fewer"
    empty = Bank.create(tmp_path / "other").manifest
    assert manifest_module.unexplained_loss(states[0], empty) == "2 entries and 10 hashes fewer"
    accepted = empty.model_copy(update={"accepted_ms": 1})
    assert manifest_module.unexplained_loss(states[0], accepted) == ""
    assert manifest_module.unexplained_loss(accepted, states[0]) == ""
