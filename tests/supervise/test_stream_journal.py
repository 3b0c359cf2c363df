"""The next gate finds all admitted streams, whatever became of the last line."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain import Publish, StreamId
from edge.supervise import stream_journal as module
from edge.supervise.stream_journal import JournalledStream, StreamJournal
from tests.small_disk import fill, small_disk

SERVERS = {"nginx-rtmp", "srs"}


def stream(number: int, server: str = "nginx-rtmp") -> JournalledStream:
    publish = Publish(server, f"{number}", "live", f"n{number}", "ünå", "192.0.2.1", {"stream_key": "k"})
    return JournalledStream(StreamId(f"st_{number}"), publish, 1_700_000_000_000 + number)


def opened(path: Path) -> StreamJournal:
    carried = StreamJournal(path, SERVERS)
    carried.load()
    return carried


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40), st.integers(0, 40))
def test_the_next_gate_finds_what_is_not_over(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]], restart_at: int
) -> None:
    path = tmp_path_factory.mktemp("carried") / "streams.jsonl"
    carried = opened(path)
    expected: dict[StreamId, JournalledStream] = {}
    for index, (number, begins) in enumerate(steps):
        if index == restart_at:
            carried = opened(path)
        if begins:
            carried.admitted(stream(number))
            expected[StreamId(f"st_{number}")] = stream(number)
        else:
            carried.over(StreamId(f"st_{number}"))
            expected.pop(StreamId(f"st_{number}"), None)
    assert {one.id: one for one in StreamJournal(path, SERVERS).load()} == expected


def test_streams_of_callers_are_not_carried(tmp_path: Path) -> None:
    carried = opened(tmp_path / "streams.jsonl")
    carried.admitted(stream(1, server="grpc"))
    assert opened(tmp_path / "streams.jsonl").load() == ()


def test_a_server_that_is_no_longer_configured_is_left_out(tmp_path: Path) -> None:
    carried = opened(tmp_path / "streams.jsonl")
    carried.admitted(stream(1))
    carried.admitted(stream(2, server="srs"))
    found = StreamJournal(tmp_path / "streams.jsonl", {"srs"}).load()
    assert [one.publish.server for one in found] == ["srs"]


@pytest.mark.parametrize("damage", [b'{"id":"st_2","publ', b"[]\n", b"\xff\xfe\n", b'{"id":1,"publish":7}\n'])
def test_a_damaged_line_costs_only_itself(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "streams.jsonl"
    opened(path).admitted(stream(1))
    with path.open("ab") as file:
        file.write(damage)
    assert opened(path).load() == (stream(1),)


def test_the_file_is_its_owners_and_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMPACT_LINES", 10)
    path = tmp_path / "streams.jsonl"
    carried = opened(path)
    for number in range(200):
        carried.admitted(stream(number))
        carried.over(StreamId(f"st_{number}"))
    assert len(path.read_bytes().splitlines()) <= 12
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_disk_that_takes_nothing_costs_the_carrying_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    carried = StreamJournal(tmp_path / "file" / "streams.jsonl", SERVERS)
    assert carried.load() == ()
    carried.admitted(stream(1))
    carried.over(StreamId("st_1"))


def test_a_disk_that_is_full_for_a_while_costs_what_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is raised, even later. Streams that come when there is room again are found."""
    monkeypatch.setattr(module, "_COMPACT_LINES", 6)
    path = tmp_path / "streams.jsonl"
    carried = opened(path)
    carried.admitted(stream(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        with structlog.testing.capture_logs() as said:
            for number in range(1, 20):
                carried.admitted(stream(number))
                carried.over(StreamId(f"st_{number}"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for number in range(20, 40):
        carried.admitted(stream(number))
    carried.close()
    wanted = {"st_0", *(f"st_{number}" for number in range(20, 40))}
    assert {line["event"] for line in said} == {
        "a stream will not outlive the gate",
        "streams will not outlive the gate",
    }
    found = [one.id for one in opened(path).load()]
    assert [f"st_{number}" for number in (0, *range(20, 40))] == [one for one in found if one in wanted]


def test_a_full_disk_takes_changes_of_a_started_gate_and_of_the_next(tmp_path: Path) -> None:
    with small_disk(tmp_path, "ext4", 4) as disk:
        path = disk / "streams.jsonl"
        carried = opened(path)
        ballast = fill(disk)
        for number in range(500):
            carried.admitted(stream(number))
            if number >= 8:
                carried.over(StreamId(f"st_{number - 8}"))
        assert carried.problem == ""
        carried.close()
        carried = StreamJournal(path, SERVERS)
        assert len(carried.load()) == 8
        assert "No space left" in carried.problem  # no new file can be made; the old one goes on
        carried.admitted(stream(500))
        assert carried.problem == ""
        ballast.unlink()
        assert [one.id for one in opened(path).load()][-1] == "st_500"


def test_a_change_is_kept_where_the_file_cannot_be_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COMPACT_LINES", 0)
    path, copy = tmp_path / "streams.jsonl", tmp_path / "copy.jsonl"
    carried = opened(path)
    (tmp_path / "streams.new").mkdir()
    for number in range(20):
        carried.admitted(stream(number))
        copy.write_bytes(path.read_bytes())
        assert [one.id for one in opened(copy).load()] == [f"st_{number}"]
        carried.over(StreamId(f"st_{number}"))
        copy.write_bytes(path.read_bytes())
        assert opened(copy).load() == ()


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":"st_9","publish":{"of_a_newer_gate":1},"started_ms":1}',
        b'{"id":"st_9","publish":{"server":"srs","connection":"1","app":"a","name":"n","broadcaster":"b",'
        b'"attributes":["k"]},"started_ms":1}',
        b'{"paused":"st_1"}',
        b'{"over":["st_1"]}',
        b"5",
    ],
)
def test_a_line_that_is_not_known_is_kept_and_costs_no_other_stream(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "streams.jsonl"
    carried = opened(path)
    carried.admitted(stream(1))
    carried.close()
    path.write_bytes(path.read_bytes() + line + b"\n")
    for _ in range(2):
        again = StreamJournal(path, SERVERS)
        with structlog.testing.capture_logs() as logs:
            assert again.load() == (stream(1),)
        again.close()
        assert [entry["lines"] for entry in logs] == [1]
        assert line in path.read_bytes()


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_file_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "streams.jsonl"
    os.mkfifo(path)
    assert opened(path).load() == ()
    assert path.is_file()
