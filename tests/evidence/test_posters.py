"""Frames of a clip: which moments, made in a contained process, and read with distrust."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.containment import ContainmentMode
from edge.errors import BrokenMedia
from edge.evidence import Poster, poster_moments, posters_contained, posters_of_bytes
from edge.evidence.posters import MOST_POSTERS, posters_to_bytes
from tests.match.test_incident_bank import clip_of

JPEG = b"\xff\xd8\xff\xe0 a picture"


@given(st.integers(0, 10**7), st.none() | st.tuples(st.integers(-9, 10**7), st.integers(-9, 10**7)))
def test_posters_show_the_stretch_first_and_moments_of_the_clip_alone(
    length_ms: int, stretch_ms: tuple[int, int] | None
) -> None:
    moments = poster_moments(length_ms, stretch_ms)
    assert 1 <= len(moments) <= MOST_POSTERS
    assert len(set(moments)) == len(moments)
    assert all(0 <= moment <= length_ms for moment in moments)
    if stretch_ms is not None and 0 <= stretch_ms[0] <= stretch_ms[1] <= length_ms:
        assert stretch_ms[0] <= moments[0] <= stretch_ms[1]


async def test_a_contained_process_makes_jpegs_of_the_moments(tmp_path: Path) -> None:
    content = await posters_contained(clip_of(tmp_path), (1000, 0, 99_999), ContainmentMode.TRY)
    posters = posters_of_bytes(content)
    assert [poster.clip_ms for poster in posters] == [1000, 0, 99_999], "after the end: the last frame"
    for poster in posters:
        with av.open(io.BytesIO(poster.jpeg), "r") as picture:
            assert next(picture.decode(video=0)).width == 128
    assert len({poster.jpeg for poster in posters}) == 3


def test_a_folder_may_have_the_name_of_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data:1?%#")
    folder.mkdir()
    content = asyncio.run(posters_contained(clip_of(folder), (0,), ContainmentMode.TRY))
    assert len(posters_of_bytes(content)) == 1


@pytest.mark.parametrize("content", [b"", b"no clip at all" * 999])
async def test_what_has_no_frame_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    clip = tmp_path / "in_1.mp4"
    clip.write_bytes(content)
    with pytest.raises(BrokenMedia, match=r"^in_1\.mp4: no frame") as caught:
        await posters_contained(clip, (0,), ContainmentMode.TRY)
    assert "\n" not in str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.binary(max_size=40)), max_size=MOST_POSTERS))
def test_a_file_of_posters_says_what_was_put_into_it(pictures: list[tuple[int, bytes]]) -> None:
    posters = tuple(Poster(clip_ms, JPEG + rest) for clip_ms, rest in pictures)
    assert posters_of_bytes(posters_to_bytes(posters)) == posters


@given(st.binary(max_size=300))
def test_a_file_that_a_taken_over_process_wrote_is_refused_or_holds_jpegs(content: bytes) -> None:
    try:
        posters = posters_of_bytes(content)
    except BrokenMedia:
        return
    assert all(poster.jpeg.startswith(b"\xff\xd8\xff") for poster in posters)


@pytest.mark.parametrize(
    "content",
    [
        b'[{"clip_ms": 0, "bytes": 9}]\n<script>x',
        b'[{"clip_ms": -1, "bytes": 14}]\n' + JPEG,
        b'[{"clip_ms": 0, "bytes": 99}]\n' + JPEG,
        b'[{"clip_ms": 0, "bytes": 14}]\n' + JPEG + b"and more",
        b"[" + b'{"clip_ms": 0, "bytes": 0},' * 9 + b"]\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_anything_but_bounded_jpegs_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenMedia, match="posters is damaged"):
        posters_of_bytes(content)
