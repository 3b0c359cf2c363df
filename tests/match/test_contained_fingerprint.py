"""Fingerprinting in a contained process gives the same footage, and its answer is not trusted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BrokenMedia, ConfigError, GateError, InvalidInput, LimitExceeded, NotMedia
from edge.match import Damage, VariantSet, fingerprint, fingerprint_contained
from edge.match.entry import AudioPrint, Entry, EntryKind, Footage, HashRun, Variant
from edge.match.footage_message import error_to_bytes, footage_of_bytes, footage_to_bytes
from tests.integration.calls import write_footage

runs = st.builds(
    HashRun,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 100),
    st.sampled_from(Variant),
)
sounds = st.none() | st.builds(
    AudioPrint, st.binary(min_size=1, max_size=9).map(lambda raw: 4 * raw), st.integers(0, 99)
)
footages = st.builds(
    Footage,
    st.builds(Entry, st.just("id"), st.sampled_from(EntryKind), duration_ms=st.integers(0, 9)),
    st.lists(runs, max_size=4).map(tuple),
    sounds,
)


@given(footages, st.integers(0, 9))
def test_footage_survives_the_pipe(footage: Footage, damaged: int) -> None:
    missing = {"landlock": "switched off"}
    assert footage_of_bytes(footage_to_bytes(footage, damaged, missing)) == (footage, damaged, missing)


@given(footages, st.data())
def test_bytes_of_a_process_that_media_has_taken_over_are_an_error(
    footage: Footage, data: st.DataObject
) -> None:
    raw = bytearray(footage_to_bytes(footage, 0, {}))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(GateError):
        footage_of_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


@pytest.mark.parametrize(
    ("error", "comes_as"),
    [
        (BrokenMedia("no frame"), BrokenMedia),
        (NotMedia("text"), NotMedia),
        (InvalidInput("path", "no such file"), InvalidInput),
        (LimitExceeded("x", 8, 9, "hashes"), LimitExceeded),
        (ConfigError("libchromaprint is missing"), ConfigError),
    ],
)
def test_errors_survive_the_pipe(error: GateError, comes_as: type[GateError]) -> None:
    with pytest.raises(comes_as) as raised:
        footage_of_bytes(error_to_bytes(error))
    assert str(raised.value) == str(error)


def test_it_is_the_same_as_without_containment(tmp_path: Path) -> None:
    write_footage(tmp_path / "moving.mp4", seconds=1)
    seen: list[float] = []
    damage = Damage()
    contained = fingerprint_contained(
        tmp_path / "moving.mp4",
        label="fight",
        variants=VariantSet.LIGHT,
        progress=lambda done_s, length_s: seen.append(done_s),
        damage=damage,
    )
    assert contained == fingerprint(tmp_path / "moving.mp4", label="fight", variants=VariantSet.LIGHT)
    assert seen == sorted(seen)
    assert seen
    assert damage.packets == 0
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(BrokenMedia, match="broken"):
        fingerprint_contained(tmp_path / "broken.mp4")
    with pytest.raises(InvalidInput, match="no such file"):
        fingerprint_contained(tmp_path / "none.mp4")


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    """FFmpeg would open what a list names. It is refused before, and could not where it is contained."""
    write_footage(tmp_path / "other.mp4", seconds=1)
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile other.mp4\n")
    for take in (fingerprint, fingerprint_contained):
        with pytest.raises(NotMedia):
            take(tmp_path / "list.ffconcat")


def test_an_error_of_a_library_is_this_files_own(tmp_path: Path) -> None:
    """It was said to be a crash of the decoder, below a traceback."""
    program = (
        "import sys, edge.match.fingerprint_process as process\n"
        "def fingerprint(*args, **options): raise KeyError('nobody knows')\n"
        "process.fingerprint = fingerprint\n"
        "process.die_with = lambda parent: None\n"
        "process.main(sys.argv[1:])\n"
    )
    request = {"parent": 0, "path": str(tmp_path / "a.mp4"), "progress": 1, "containment": "off"}
    request["variants"] = VariantSet.LIGHT
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(request)], capture_output=True, check=True
    )
    with pytest.raises(BrokenMedia, match=r"a\.mp4: unexpected KeyError: 'nobody knows'"):
        footage_of_bytes(done.stdout)
    assert b"Traceback" not in done.stderr
