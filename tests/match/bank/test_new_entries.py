"""What is new in a bank: writing it again makes nothing new, and nothing new is overlooked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.match import (
    Bank,
    BankInfo,
    BankPurpose,
    BankSet,
    Entry,
    EntryKind,
    Existing,
    Footage,
    HashRun,
    Variant,
)
from edge.match.bank.new_entries import new_entries


def bits(number: int) -> bytes:
    return (number * 2654435761 % 2**32).to_bytes(4) * 8


def film(name: str, *numbers: int) -> Footage:
    runs = tuple(HashRun(bits(number), 40 * at) for at, number in enumerate(numbers))
    return Footage(Entry(name, EntryKind.VIDEO), runs)


def plain(number: int) -> Footage:
    return Footage(Entry(bits(number).hex(), EntryKind.IMAGE), (HashRun(bits(number)),))


def state(folder: Path, before: BankSet | None = None) -> BankSet:
    return (before or BankSet()).read_anew(folder, (), strict=True)


def new_bits(before: BankSet, now: BankSet) -> set[bytes]:
    return {code.tobytes() for new in new_entries(before, now) for code in new.codes}


@settings(deadline=None, max_examples=10)
@given(
    plain_ones=st.booleans(),
    batches=st.lists(st.lists(st.integers(0, 40), max_size=5), max_size=5),
    compacts=st.booleans(),
)
def test_exactly_what_was_added_is_new(
    plain_ones: bool, batches: list[list[int]], compacts: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("banks")
    bank, known, seen = Bank.create(folder / "known"), BankSet(), set[int]()
    for batch in batches:
        fresh = [number for number in dict.fromkeys(batch) if number not in seen]
        seen |= set(fresh)
        items = [plain(n) if plain_ones else film(f"film-{n}", n, n + 100, n + 101) for n in fresh]
        bank.add_footage(items)
        if compacts:
            bank.compact()
        now = state(folder, known)
        assert new_bits(known, now) == {run.bits for item in items for run in item.hashes}
        known = now


def test_an_entry_with_another_hash_is_new_whole_and_one_under_another_id_too(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([film("a", 1, 2), film("b", 3)])
    before = state(tmp_path)
    bank.update([film("a", 1, 4)], existing=Existing.REPLACE)
    between = state(tmp_path, before)
    assert new_bits(before, between) == {bits(1), bits(4)}
    bank.remove(["b"])
    bank.add_footage([film("c", 3)])
    assert new_bits(between, state(tmp_path, between)) == {bits(3)}


def test_a_bank_that_is_switched_on_or_means_something_else_is_new_whole(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known", BankInfo(enabled=False))
    bank.add_footage([film("a", 1)])
    off = state(tmp_path)
    bank.change(BankInfo(enabled=True))
    on = state(tmp_path, off)
    assert new_bits(off, on) == {bits(1)}
    bank.change(BankInfo(note="seen"))
    assert new_bits(on, state(tmp_path, on)) == set()
    bank.change(BankInfo(opinion=BankPurpose.INVESTIGATE))
    assert new_bits(on, state(tmp_path, on)) == {bits(1)}


def test_frames_as_they_were_shown_are_told_from_variants(tmp_path: Path) -> None:
    runs = (
        HashRun(bits(1)),
        HashRun(bits(2), variant=Variant.INSIDE),
        HashRun(bits(3), variant=Variant.CROP_10),
    )
    Bank.create(tmp_path / "known").add_footage([Footage(Entry("a", EntryKind.VIDEO), runs)])
    [new] = new_entries(BankSet(), state(tmp_path))
    assert {code.tobytes() for code in new.unchanged.codes} == {bits(1), bits(2)}
