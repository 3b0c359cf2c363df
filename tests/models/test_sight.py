"""Frames for the firearm model: no group on both sides, views of the right shape, honest figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.train.sight.index import Picture, read_pictures
from models.train.sight.measures import recall_at, summary, threshold_at
from models.train.sight.views import LONG, SHORT, altered, shape_for, whole


def test_no_group_of_negatives_is_on_two_sides_and_sources_are_held_out(shared: Path) -> None:
    pictures = read_pictures(shared / "data")
    sides: dict[str, set[str]] = {}
    for picture in pictures:
        sides.setdefault(f"{picture.source}/{picture.group}", set()).add(picture.role)
    assert {len(roles) for roles in sides.values()} == {1}
    by_role = {role: [p for p in pictures if p.role == role] for role in ("train", "validation", "test")}
    for held in ("validation", "test"):
        firearms = {p.source for p in by_role[held] if p.firearm}
        assert firearms
        assert not firearms & {p.source for p in by_role["train"]}
    assert {p.label for p in by_role["train"]} == {"firearm", "knife", "tool", "game", "calm"}
    assert len({p.key for p in pictures}) == len(pictures)


def test_a_frame_of_a_clip_is_a_frame(shared: Path) -> None:
    pictures = [p for p in read_pictures(shared / "data") if p.frame_s is not None and not p.firearm]
    opened = pictures[0].open()
    assert opened.mode == "RGB"
    assert min(opened.size) > 32


@given(st.integers(8, 900), st.integers(8, 900))
def test_a_whole_frame_keeps_its_aspect_and_touches_a_side(width: int, height: int) -> None:
    picture = Image.new("RGB", (width, height), (200, 10, 10))
    shape = shape_for(picture)
    assert shape == ((SHORT, LONG) if width >= height else (LONG, SHORT))
    seen = whole(picture, shape)
    filled = seen[..., 0] > 100
    rows, columns = int(filled.any(axis=1).sum()), int(filled.any(axis=0).sum())
    assert rows == shape[0] or columns == shape[1]
    assert abs(rows / columns - height / width) <= 0.5 / min(rows, columns) * (1 + height / width) * 2
    assert filled[0, 0]


@given(st.integers(0, 2**32), st.integers(20, 400), st.integers(20, 400))
def test_altered_views_have_an_input_shape_and_depend_on_the_seed_alone(
    seed: int, width: int, height: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)

    def view() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return altered(picture, np.random.default_rng(seed), 0.5, lambda: Image.new("RGB", (64, 48)))

    first = view()
    assert first.shape in ((SHORT, LONG, 3), (LONG, SHORT, 3))
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, view())


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=60), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_threshold_keeps_its_specificity(negatives: list[float], specificity: float) -> None:
    values = np.array(negatives)
    limit = threshold_at(values, specificity)
    assert (values >= limit).mean() <= 1 - specificity + 1e-9


def test_figures_count_games_apart_and_sizes_by_box() -> None:
    def picture(label: str, at: int, box: float | None = None) -> Picture:
        return Picture(Path(f"{label}{at}.jpg"), label, f"{label}s", f"{label}{at}", box=box)  # type: ignore[arg-type]

    pictures = [
        *(picture("firearm", at, 0.1 if at < 5 else 0.6) for at in range(10)),
        *(picture("tool", at) for at in range(20)),
        *(picture("game", at) for at in range(4)),
    ]
    logits = np.array([*([-1.0] * 5), *([5.0] * 5), *np.linspace(-4, 0, 20), 3.0, -3.0, -3.0, -3.0])
    figures = summary(pictures, logits)
    assert figures["recall"]["95%"][0] == 0.5
    assert figures["games_over"]["95%"][0] == 0.25
    assert figures["by_size"]["0-0.12"]["over_95%"] == 0.0
    assert figures["by_size"]["0.5-0.88"]["over_95%"] == 1.0
    assert figures["negatives"] == 20
    assert recall_at(np.array([True, False]), np.array([1.0, 0.0]), 0.95) == 1.0
