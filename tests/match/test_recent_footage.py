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
    return [row.tobytes() for row in memory.of_others(stream_id, wall_ms)]


@settings(deadline=None, max_examples=40)
@given(runs=st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_the_newest_pictures_survive_a_restart_after_each_save(
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
    assert not path.exists() or path.stat().st_size <= 16 + 48 * capacity


def test_it_knows_the_last_day_of_other_streams(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 16)
    memory.remember("st_1", bits(1), 0, NOW - DAY_MS - 1000)
    memory.remember("st_2", bits(2), 0, NOW - DAY_MS + 1000)
    memory.remember("st_3", bits(3), 0, NOW)
    assert known(memory) == [bits(2), bits(3)]
    assert known(memory, "st_2") == [bits(3)]


def test_it_knows_the_rest_of_a_stream_but_for_a_stretch(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 1 << 16)
    for number in range(5):
        memory.remember("st_1", bits(number), 10_000 * number, NOW + 10_000 * number)
    memory.remember("st_2", bits(9), 30_000, NOW)
    found = [row.tobytes() for row in memory.of_stream("st_1", (20_000, 30_000))]
    assert found == [bits(0), bits(1), bits(4)]


def test_a_stream_gives_a_picture_now_and_then_and_a_still_one_seldom(tmp_path: Path) -> None:
    memory = RecentFootage(tmp_path / "recent.bin", 1 << 10)
    assert memory.remember("st_1", bits(1), 0, NOW)
    assert not memory.remember("st_1", bits(2), 0, NOW + LEAST_PAUSE_MS - 1)
    assert not memory.remember("st_1", bits(1), 0, NOW + STILL_PAUSE_MS - 1)
    assert memory.remember("st_1", bits(1), 0, NOW + STILL_PAUSE_MS)
    # A ring of 1024 pictures lasts a day with two streams if each gives one in 168 seconds.
    at_ms = NOW + STILL_PAUSE_MS
    assert not memory.remember("st_1", bits(3), 0, at_ms + 168_000, streams=2)
    assert memory.remember("st_1", bits(3), 0, at_ms + 169_000, streams=2)
    # A clock that was set back must not stop it.
    assert memory.remember("st_1", bits(4), 0, NOW - DAY_MS)


@pytest.mark.parametrize("raw", [b"", b"EDGERF01", b"\0" * 64, b"EDGERF01" + b"\xff" * 7, b"x" * 4096])
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
    assert len(RecentFootage.load(tmp_path / "recent", 8).of_others("st", 0)) == 0
