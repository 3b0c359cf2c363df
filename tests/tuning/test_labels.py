"""Labels: what is read, what is refused and where, and how rows map to a file's time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput
from edge.tuning.labels import Span, label_spans, printable, read_footage


def write(folder: Path, content: str) -> Path:
    for name in ("a.mp4", "b.mp4"):
        (folder / name).touch()
    listed = folder / "list.csv"
    listed.write_text(content)
    return listed


def test_intervals_of_one_file_come_together(tmp_path: Path) -> None:
    listed = write(
        tmp_path,
        "path,start_s,end_s,label,group\na.mp4,,,calm,g\na.mp4,1.5,3,violent,g\nb.mp4,2,,violent,h\n",
    )
    first, second = read_footage(listed)
    assert first.spans == (Span(0, None, False), Span(1500, 3000, True))
    assert (first.group, second.group) == ("g", "h")
    assert second.spans == (Span(2000, None, True),)


def test_plain_rows_and_folders(tmp_path: Path) -> None:
    assert [
        one.spans for one in read_footage(write(tmp_path, "path,label\na.mp4,violent\nb.mp4,calm\n"))
    ] == [
        (Span(0, None, True),),
        (Span(0, None, False),),
    ]
    for label in ("violent", "calm"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "x.mp4").touch()
    assert {one.spans[0].violent for one in read_footage(tmp_path / "data")} == {True, False}


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ("path,label\na.mp4,perhaps\n", "list.csv:2", "neither violent nor calm"),
        ("path,label\n\na.mp4,calm\nnone.mp4,calm\n", "list.csv:4", "no such file"),
        ("path,start_s,end_s,label\na.mp4,x,2,calm\n", "list.csv:2", "start_s: 'x' is not a number"),
        ("path,start_s,end_s,label\na.mp4,1,nan,calm\n", "list.csv:2", "end_s: nan is not between"),
        ("path,start_s,end_s,label\na.mp4,-1,2,calm\n", "list.csv:2", "start_s: -1 is not between"),
        ("path,start_s,end_s,label\na.mp4,3,2,calm\n", "list.csv:2", "not after start_s 3"),
        ("path,label\na.mp4,calm,extra\n", "list.csv:2", "more values"),
        ("path,label,group\na.mp4,calm,g\na.mp4,violent,h\n", "list.csv:3", "group and source differ"),
        ("path,label\n", "list.csv", "no rows"),
        ("file,label\na.mp4,calm\n", "list.csv:2", "no column path"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str, where: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=what) as caught:
        read_footage(write(tmp_path, content))
    assert caught.value.field.endswith(where)


SPANS = st.lists(
    st.builds(
        lambda start, length, violent: Span(start, None if length is None else start + length, violent),
        st.integers(0, 50),
        st.none() | st.integers(1, 30),
        st.booleans(),
    ),
    max_size=6,
)


@given(SPANS, st.integers(1, 60), st.integers(0, 5))
def test_violence_overrules_and_nothing_is_counted_twice(
    spans: list[Span], duration: int, grace: int
) -> None:
    truth = label_spans(spans, duration, grace)
    violent, calm = set[int](), set[int]()
    for span in spans:
        moments = range(span.start_ms, duration if span.end_ms is None else min(span.end_ms, duration))
        (violent if span.violent else calm).update(moments)
    after = {moment + later for moment in violent for later in range(grace + 1)}
    assert {moment for start, end in truth.violent for moment in range(start, end)} == violent
    assert [moment for start, end in truth.calm for moment in range(start, end)] == sorted(calm - after)
    assert all(
        before[1] < following[0] for before, following in zip(truth.violent, truth.violent[1:], strict=False)
    )


def test_a_name_that_is_no_text_can_be_shown() -> None:
    assert printable(Path("a\udcff.mp4")) == "a?.mp4"
