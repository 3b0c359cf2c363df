"""What is shared of a bank, in order: whoever follows it to the end has the bank as it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract.gen import share_pb2
from edge.errors import BankError
from edge.match import Bank, BankInfo, Entry, EntryKind, Existing, Footage, HashRun, Withdrawal
from edge.sharing import share_log
from edge.sharing.share_log import ShareLog, log_path

NAMES = [f"e{n}" for n in range(6)]


def footage(name: str, content: int = 0, note: str = "anna's stream") -> Footage:
    entry = Entry(name, EntryKind.VIDEO, label="fight", source="anna.mp4", note=note, added_ms=7)
    runs = tuple(HashRun(bytes([content, at] * 16), start_ms=at * 100) for at in range(1, 4))
    return Footage(entry, runs)


def plain(content: int) -> Footage:
    bits = bytes([content] * 32)
    return Footage(Entry(bits.hex(), EntryKind.IMAGE), (HashRun(bits),))


class Follower:
    """What a peer has that follows the pages."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.checkpoint = ""
        self._named: set[str] | None = set()

    def take_page(self, log: ShareLog, limit: int) -> bool:
        """Takes one page. Returns whether there is more."""
        page = log.page(self.checkpoint, limit)
        if page.start_again:
            assert not page.changes
            self.checkpoint, self._named = "", set()
            return True
        for entry_id, entry in page.changes:
            self.entries.pop(entry_id, None)
            if entry is not None:
                self.entries[entry_id] = entry.SerializeToString(deterministic=True)
                if self._named is not None:
                    self._named.add(entry_id)
        self.checkpoint = page.checkpoint
        if not page.more and self._named is not None:
            self.entries = {one: self.entries[one] for one in self._named if one in self.entries}
            self._named = None
        return page.more

    def take_all(self, log: ShareLog, limit: int = 3) -> dict[str, bytes]:
        while self.take_page(log, limit):
            pass
        return self.entries


def shared(log: ShareLog) -> dict[str, bytes]:
    return Follower().take_all(log, 1000)


def followed(bank: Bank, path: Path) -> int:
    with ShareLog.open(path, write=True) as log:
        return log.follow_bank(Bank.open(bank.path))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(NAMES), st.integers(0, 3)),
        st.tuples(st.just("plain"), st.just(""), st.integers(200, 203)),
        st.tuples(st.just("withdraw"), st.sampled_from(NAMES), st.just(0)),
        st.tuples(st.sampled_from(["disable", "enable"]), st.sampled_from(NAMES), st.just(0)),
        st.tuples(st.sampled_from(["quarantine", "release"]), st.sampled_from(NAMES), st.just(0)),
        st.tuples(st.sampled_from(["compact", "log", "relabel"]), st.just(""), st.integers(0, 1)),
        st.tuples(st.just("page"), st.just(""), st.integers(1, 4)),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(0, 3))
def test_any_order_of_changes_and_pages_ends_as_the_bank_is(
    steps: list[tuple[str, str, int]], remembered: int
) -> None:
    """Also where old withdrawals are forgotten, and where the peer forgets its place."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(share_log, "MOST_WITHDRAWN", remembered)
        path, follower = log_path(Path(folder) / "log", "known"), Follower()
        bank = Bank.create(Path(folder) / "known", BankInfo(label="fight"))
        followed(bank, path)
        for step, name, number in steps:
            match step:
                case "put":
                    bank.update([footage(name, number)], existing=Existing.REPLACE)
                case "plain":
                    bank.update([plain(number)], existing=Existing.SKIP)
                case "withdraw":
                    bank.update([Withdrawal(name)])
                case "disable" | "enable" if bank.has(name):
                    bank.set_enabled([name], step == "enable")
                case "quarantine" | "release" if bank.has(name):
                    bank.set_quarantined([name], step == "quarantine")
                case "compact":
                    bank.compact()
                case "relabel":
                    bank.change(BankInfo(label=f"fight{number}"))
                case "log":
                    followed(bank, path)
                case "restart":
                    follower = Follower()
                case "page":
                    with ShareLog.open(path) as log:
                        follower.take_page(log, number)
        followed(bank, path)
        assert followed(bank, path) == 0
        with ShareLog.open(path) as log:
            found = follower.take_all(log)
            in_use = {
                log.public_id(item.entry.id): item
                for item in bank.footage()
                if item.entry.id not in bank.manifest.disabled
            }
            assert set(found) == set(in_use)
            for entry_id, item in in_use.items():
                entry = share_pb2.Entry.FromString(found[entry_id])
                assert entry.hashes == b"".join(run.bits for run in item.hashes)
                assert entry.category == (item.entry.label or bank.info.label)
                doubted = item.entry.id in bank.manifest.quarantined
                assert (entry.confidence == share_pb2.CONFIDENCE_DOUBTED) == doubted
            assert found == shared(log)
            assert log.entries == len(in_use)


def test_nothing_about_people_is_shared(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known", BankInfo(source="anna's folder", note="from anna"))
    bank.add_footage([footage("anna.mp4")])
    followed(bank, path := log_path(tmp_path, "known"))
    with ShareLog.open(path) as log:
        page = log.page("")
        assert b"anna" not in repr(page).encode() + b"".join(shared(log).values())
        ((entry_id, entry),) = page.changes
        assert entry is not None
        assert (len(entry_id), entry.added_wall_ms) == (32, 7)
        assert (entry.confidence, entry.provenance) == (
            share_pb2.CONFIDENCE_LISTED,
            share_pb2.PROVENANCE_BANK,
        )


def test_a_confirmed_incident_says_so(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "incidents")
    bank.add_footage([footage("in_1")])
    followed(bank, path := log_path(tmp_path, "incidents"))
    with ShareLog.open(path) as log:
        ((_, entry),) = log.page("").changes
        assert entry is not None
        assert entry.confidence == share_pb2.CONFIDENCE_CONFIRMED
        assert entry.provenance == share_pb2.PROVENANCE_INCIDENT


def test_an_older_copy_of_the_bank_withdraws_nothing(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([footage("e0")])
    old = bank.path.read_bytes()
    bank.add_footage([footage("e1")])
    followed(bank, path := log_path(tmp_path, "known"))
    bank.path.write_bytes(old)
    with pytest.raises(BankError, match="1 entries and 3 hashes fewer, and no removal is on record"):
        followed(bank, path)
    with ShareLog.open(path) as log:
        assert log.entries == 2


def test_a_page_ends_by_its_bytes_and_too_large_entries_stay_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_log, "PAGE_BYTES", 200)
    monkeypatch.setattr(share_log, "MAX_ENTRY_BYTES", 500)
    bank = Bank.create(tmp_path / "known")
    large = Footage(Entry("large", EntryKind.VIDEO), tuple(HashRun(bytes([n] * 32)) for n in range(20)))
    bank.add_footage([*(footage(name, n) for n, name in enumerate(NAMES)), large])
    followed(bank, path := log_path(tmp_path, "known"))
    with ShareLog.open(path) as log:
        first = log.page("")
        assert (len(first.changes), first.more) == (1, True)
        assert (len(shared(log)), log.left_out) == (6, 1)


@pytest.mark.parametrize("checkpoint", ["x", "0" * 16 + ".0.0", "'; DROP TABLE entry", "9" * 128])
def test_a_checkpoint_of_another_log_starts_again(tmp_path: Path, checkpoint: str) -> None:
    followed(Bank.create(tmp_path / "known"), path := log_path(tmp_path, "known"))
    with ShareLog.open(path) as log:
        assert log.page(checkpoint).start_again
        ahead = log.page("").checkpoint.replace(".0.0", ".5.0")
        assert log.page(ahead).start_again


def test_a_log_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="unable to open"), ShareLog.open(tmp_path / "none.share"):
        pass
    (tmp_path / "torn.share").write_bytes(b"x" * 5000)
    with pytest.raises(BankError, match=r"torn\.share"), ShareLog.open(tmp_path / "torn.share"):
        pass
    followed(Bank.create(tmp_path / "known"), path := log_path(tmp_path, "known"))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE state SET value = '9' WHERE name = 'version'")
    with pytest.raises(BankError, match="of another version, '9'"), ShareLog.open(path):
        pass
