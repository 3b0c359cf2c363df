"""The memory of what streams showed: bounded, kept over a restart, and only of the last day."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.match.recent_footage import DAY_MS, LEAST_PAUSE_MS, STILL_PAUSE_MS, RecentFootage

NOW = 1_700_000_000_000


def bits(number: int) -> bytes:
    return (number * 2654435761 % 2**32).to_bytes(4) * 8


def known(memory: RecentFootage, stream_id: str = "other", wall_ms: int = NOW) -> list[bytes]:
    return [row.tobytes() for row in memory.of_others(stream_id, wall_ms).codes]


@settings(deadline=None, max_examples=40)
@given(runs=st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_the_newest_frames_survive_a_restart_after_each_save(
    runs: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, capacity = tmp_path_factory.mktemp("recent") / "recent.bin", 16
    memory, shown = RecentFootage.load(path, capacity), list[bytes]()
    for run in runs:
        for _ in range(run):
            shown.append(bits(len(shown)))
            assert memory.remember(f"st_{len(shown)}", shown[-1], 0, NOW)
        memory.save()
        again = RecentFootage.load(path, capacity)
        assert sorted(known(again)) == sorted(known(memory)) == sorted(shown[-capacity:])
        memory = again
    assert not path.exists() or path.stat().st_size <= 24 + 46 * capacity


def test_it_knows_the_last_day_of_other_streams(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 16)
    memory.remember("st_1", bits(1), 0, NOW - DAY_MS - 1000)
    memory.remember("st_2", bits(2), 0, NOW - DAY_MS + 1000)
    memory.remember("st_3", bits(3), 0, NOW)
    assert sorted(known(memory)) == sorted([bits(2), bits(3)])
    assert known(memory, "st_2") == [bits(3)]


def test_it_knows_the_rest_of_a_stream_but_for_a_stretch(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 1 << 16)
    for number in range(5):
        memory.remember("st_1", bits(number), 10_000 * number, NOW + 10_000 * number)
    memory.remember("st_2", bits(9), 30_000, NOW)
    found = memory.of_stream("st_1", (20_000, 30_000), (35_000, 45_000))
    assert [row.tobytes() for row in found.codes] == [bits(0), bits(1), bits(4)]
    assert found.before_ms.tolist() == [200, 10_000, 0]
    assert found.after_ms.tolist() == [10_000, 10_000, 0]


def test_a_stream_gives_a_frame_now_and_then_and_a_still_one_seldom(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 1 << 10)
    assert memory.remember("st_1", bits(1), 0, NOW)
    assert not memory.remember("st_1", bits(2), LEAST_PAUSE_MS - 1, NOW)
    assert not memory.remember("st_1", bits(1), STILL_PAUSE_MS - 1, NOW)
    assert memory.remember("st_1", bits(1), STILL_PAUSE_MS, NOW)
    # A ring of 384 frames lasts a quarter of an hour with two streams if each gives one in 4.7 seconds.
    assert not memory.remember("st_1", bits(3), STILL_PAUSE_MS + 4_600, NOW, streams=2)
    assert memory.remember("st_1", bits(3), STILL_PAUSE_MS + 4_700, NOW, streams=2)
    # Media time that goes back must not stop it.
    assert memory.remember("st_1", bits(4), 0, NOW)


def test_each_frame_tells_how_long_nobody_looked_before_and_after_it(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 1 << 14)
    # The third was looked at, and not passed: there is no fourth until 9 s.
    for number, (pts_ms, unseen_ms) in enumerate([(1000, 0), (2500, 1500), (9000, 700)]):
        assert memory.remember("st_1", bits(number), pts_ms, NOW + pts_ms, unseen_ms=unseen_ms)
    shown = memory.of_others("st_2", NOW + 9000)
    assert shown.before_ms.tolist() == [200, 1600, 800]
    assert shown.after_ms.tolist() == [1600, 1600, 800]


def test_what_a_busy_gate_does_not_take_counts_as_not_looked_at_and_a_still_frame_does_not(
    tmp_path: Path,
) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 64)
    for number in range(10):
        memory.remember("busy", bits(number), 1000 * number, NOW, streams=100)
    assert memory.of_others("", NOW).before_ms.tolist() == [200]
    memory.remember("busy", bits(99), 4_000_000, NOW, streams=100, unseen_ms=500)
    assert memory.of_others("", NOW).before_ms.tolist() == [200, 9_600]
    for second in range(40):
        memory.remember("still", bits(1), 1000 * second, NOW)
    memory.remember("still", bits(2), 40_000, NOW)
    assert memory.of_others("busy", NOW).before_ms.tolist() == [200, 1_100]


def test_what_is_older_is_thinned_and_lasts_a_day(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 1600)
    for second in range(0, 24 * 3600, 3):
        memory.remember("st_1", bits(second), 1000 * second, NOW + 1000 * second, streams=1)
    found = memory.of_others("st_2", NOW + DAY_MS)
    assert 1200 < len(found.codes) <= 1600
    newest, oldest = found.before_ms[-400:], found.before_ms[:100]
    assert set(newest.tolist()) == {3_100}, "every one of the last half hour"
    assert set(oldest.tolist()) == {200, 10_000}
    assert bytes(found.codes[0].tobytes()) == bits(0)


@pytest.mark.parametrize(
    "raw", [b"", b"EDGERF01" + b"\1" * 64, b"EDGERF02", b"\0" * 64, b"EDGERF02" + b"\xff" * 7, b"x" * 4096]
)
def test_a_file_that_is_torn_or_foreign_is_an_empty_memory(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "recent.bin"
    path.write_bytes(raw)
    memory = RecentFootage.load(path, 16)
    assert known(memory) == []
    assert memory.remember("st_1", bits(1), 0, NOW)
    memory.save()
    assert known(RecentFootage.load(path, 16)) == [bits(1)]


def test_a_disk_that_refuses_loses_nothing_of_the_memory(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "gone" / "recent.bin", 16)
    memory.remember("st_1", bits(1), 0, NOW)
    with pytest.raises(OSError, match="gone"):
        memory.save()
    (tmp_path / "gone").mkdir()
    memory.save()
    assert known(RecentFootage.load(tmp_path / "gone" / "recent.bin", 16)) == [bits(1)]


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recent")
    assert len(RecentFootage.load(tmp_path / "recent", 8).of_others("st", 0).codes) == 0
