"""Plain borders are found to the pixel. Frames without a border yield none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.match.entry import Variant
from edge.match.evasion.letterbox import STRAY_OVERLAY, Rectangle, inside_border
from edge.match.evasion.variants import VariantSet, cropped, variants_of

U8 = npt.NDArray[np.uint8]


def noise(seed: int, height: int, width: int) -> U8:
    return np.random.default_rng(seed).integers(40, 255, (height, width), dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(40, 400),
    width=st.integers(40, 400),
    sides=st.tuples(*[st.floats(0.03, 0.3)] * 4),
    which=st.tuples(*[st.booleans()] * 4),
    colour=st.integers(0, 30),
)
def test_a_border_is_found_to_the_pixel(
    seed: int,
    height: int,
    width: int,
    sides: tuple[float, ...],
    which: tuple[bool, ...],
    colour: int,
) -> None:
    left, right, top, bottom = (
        round(s * n) if w else 0 for s, n, w in zip(sides, (width, width, height, height), which, strict=True)
    )
    picture = np.full((height, width), colour, np.uint8)
    inside = Rectangle(top, height - bottom, left, width - right)
    inside.of(picture)[:] = noise(seed, inside.bottom - inside.top, inside.right - inside.left)
    expected = inside if any((left, right, top, bottom)) else None
    assert inside_border(picture) == expected


def test_an_overlay_on_a_noisy_border_hides_it_from_the_strict_look_only() -> None:
    picture = noise(1, 720, 1280)
    picture[:90] = np.random.default_rng(2).integers(14, 20, (90, 1280))
    picture[630:] = 16
    picture[30:60, 1180:1250] = 235
    assert inside_border(picture, STRAY_OVERLAY) == Rectangle(90, 630, 0, 1280)
    assert inside_border(picture) == Rectangle(30, 630, 0, 1280)


def test_black_frames_tiny_frames_and_thin_edges_have_no_border() -> None:
    assert inside_border(np.full((720, 1280), 16, np.uint8)) is None
    assert inside_border(np.zeros((8, 8), np.uint8)) is None
    picture = noise(1, 720, 1280)
    picture[:4] = 16
    assert inside_border(picture) is None


@settings(deadline=None)
@given(st.integers(32, 200), st.integers(32, 200))
def test_every_variant_is_made_of_the_frame(height: int, width: int) -> None:
    picture = noise(3, height, width)
    counts = {VariantSet.NONE: 1, VariantSet.LIGHT: 17, VariantSet.FULL: 33, VariantSet.WIDE: 51}
    for wanted, count in counts.items():
        made = list(variants_of(picture, wanted))
        assert len(made) == count
        assert len({variant for variant, _ in made}) == count
        assert made[0][0] is Variant.ORIGINAL
        for _, changed in made:
            assert changed.dtype == np.uint8
            assert min(changed.shape) >= 0.5 * 32 - 1


def test_a_bordered_frame_is_varied_with_and_without_its_border() -> None:
    picture = np.full((200, 300), 16, np.uint8)
    picture[:, 50:250] = noise(4, 200, 200)
    made = list(variants_of(picture, VariantSet.LIGHT))
    assert [variant for variant, _ in made[:2]] == [Variant.ORIGINAL, Variant.INSIDE]
    assert made[1][1].shape == (200, 200)
    # A live lookup removes the rest of the border that such a crop leaves.
    crops = [changed.shape for variant, changed in made if variant is Variant.CROP_10]
    assert crops == [(180, 180), (180, 200)]


def test_crops_are_views() -> None:
    picture = noise(5, 100, 200)
    part = cropped(picture, 0.1, 0.2, 0.05, 0.05)
    assert part.shape == (90, 140)
    assert np.shares_memory(part, picture)
