"""New entries are checked against benign banks and against what streams have shown and was passed."""

from __future__ import annotations

from pathlib import Path

from edge.match import Bank, BankInfo, BankPurpose, BankSet, Entry, EntryKind, Footage, HashRun, RecentFootage
from edge.match.bank.guards import EntryFinding
from edge.match.bank.new_entries import new_entries
from edge.match.entry_check import NEW_WEIGHT, CalmPart, check_entries
from edge.match.recent_footage import stream_tag
from tests.match.test_retro_match import NOW, film, frame


def findings(
    folder: Path, memory: RecentFootage, weights: dict[str, float], **calm: CalmPart
) -> dict[tuple[str, str], EntryFinding]:
    banks = BankSet().read_anew(folder, (), strict=True)
    news = [new for new in new_entries(BankSet(), banks) if new.bank.bank.name == "known"]
    tags = {int(stream_tag(name)): weight for name, weight in weights.items()}
    views = memory.since(NOW - 86_400_000, of_day=True)
    found = check_entries(views, news, banks, tags, calm, NOW)
    return {(bank, entry): finding for bank, entry, finding in found}


def test_streams_that_have_shown_an_entry_count_by_what_is_known_of_them(tmp_path: Path) -> None:
    Bank.create(tmp_path / "known").add_footage([film(), film(range(5000, 5010), "rare")])
    memory = RecentFootage(tmp_path / "recent", 64)  # most of it is in the ring of the day
    for number in range(40):
        memory.remember(f"st_{number}", frame(25, 6), 1000, NOW - 60_000)
    memory.remember("flagged", frame(50, 6), 1000, NOW, passed=False)
    memory.remember("other", frame(9999), 1000, NOW)
    [(key, found)] = findings(tmp_path, memory, {"st_39": 1.0, "st_38": 0.0}).items()
    assert key == ("known", "film")
    assert (found.streams, round(found.weight, 6)) == (40, round(1 + 38 * NEW_WEIGHT, 6))
    assert (found.benign_share, found.own_calm) == (0.0, 0)


def test_what_is_near_a_benign_entry_says_how_much_of_it(tmp_path: Path) -> None:
    Bank.create(tmp_path / "known").add_footage([film(range(4), "part"), film(range(100, 101), "whole")])
    benign = Bank.create(tmp_path / "intros", BankInfo(opinion=BankPurpose.BENIGN))
    benign.add_footage(
        [
            Footage(Entry(str(number), EntryKind.IMAGE), (HashRun(frame(number, 9)),))
            for number in (0, 100, 200, 201, 202, 203)
        ]
    )
    found = findings(tmp_path, RecentFootage(tmp_path / "recent", 64), {})
    assert {entry: finding.benign_share for (_, entry), finding in found.items()} == {
        "part": 0.25,
        "whole": 1.0,
    }


def test_the_calm_part_of_its_own_stream_counts_apart(tmp_path: Path) -> None:
    Bank.create(tmp_path / "known").add_footage([film(name="in_1")])
    memory = RecentFootage(tmp_path / "recent", 1 << 12)
    for second in (1, 2, 8):
        memory.remember("own", frame(25 * second, 6), 1000 * second, NOW)
    own = CalmPart(int(stream_tag("own")), 5000)
    [found] = findings(tmp_path, memory, {}, in_1=own).values()
    assert (found.streams, found.own_calm) == (0, 2)
