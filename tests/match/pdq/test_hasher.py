"""PDQ against the reference implementation and its published hashes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pdqhash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InvalidInput, LimitExceeded
from edge.match import Dihedral, PdqHasher, frames_of
from edge.match.pdq.hasher import MAX_AXES, MAX_SIDE, _columns, _row_blocks, distance, parse_hex

U8 = npt.NDArray[np.uint8]
REFERENCE_ORDER = tuple(Dihedral)


def reference(grey: U8) -> tuple[list[bytes], int]:
    """All eight dihedral hashes and the quality, by the reference implementation."""
    hashes, quality = pdqhash.compute_dihedral(np.repeat(grey[..., None], 3, axis=2))
    return [np.packbits(h.astype(np.uint8)).tobytes() for h in hashes], int(quality)


def grey_of(path: Path) -> U8:
    with av.open(str(path)) as media:
        return np.asarray(next(media.decode(video=0)).to_ndarray(format="gray"), np.uint8)


def textured(height: int, width: int, seed: int = 1) -> U8:
    """A frame with large and small shapes, so that its quality is 100."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = sum(
        rng.uniform(10, 40) * np.sin(rng.uniform(1, 12) * y / height + rng.uniform(1, 12) * x / width + i)
        for i in range(8)
    )
    return np.asarray(np.clip(128 + waves + rng.normal(0, 6, (height, width)), 0, 255), np.uint8)


def test_the_reference_images_hash_to_the_reference_bits(shared: Path) -> None:
    images = sorted((shared / "reference" / "pdq" / "images").rglob("*.jpg"))
    assert len(images) == 27
    hasher = PdqHasher()
    for image in images:
        grey = grey_of(image)
        expected, quality = reference(grey)
        found = hasher.hash(grey)
        assert (found.bits, found.quality) == (expected[0], quality), image.name
        assert found.mirrored == reference(np.ascontiguousarray(grey[:, ::-1]))[0][0], image.name
        assert [hasher.dihedral(grey)[d] for d in REFERENCE_ORDER] == expected, image.name


def test_a_published_hash_is_found_with_its_printed_bit_order(shared: Path) -> None:
    grey = grey_of(shared / "reference" / "pdq" / "images" / "bridge-mods" / "aaa-orig.jpg")
    printed = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
    assert distance(PdqHasher().hash(grey).bits, parse_hex(printed)) <= 10


@pytest.mark.parametrize(
    "name",
    ["chair-orig-22-sd-bar", "doorknob-hd-no-bar", "pattern-hd-no-bar", "test-padded-dimensions"],
)
def test_frames_straight_from_the_decoder_are_near_the_published_vpdq_hashes(shared: Path, name: str) -> None:
    published = [
        line.split(",")
        for line in (shared / "reference" / "pdq" / "vpdq-hashes" / f"{name}.txt").read_text().splitlines()
    ]
    hasher = PdqHasher()
    good = 0
    frames = frames_of(shared / "reference" / "pdq" / "videos" / f"{name}.mp4")
    for (_, _, luma), (_, quality, digits, _) in zip(frames, published, strict=True):
        if int(quality) >= 80:
            good += 1
            assert distance(hasher.hash(luma).bits, parse_hex(digits)) <= 10
    assert good >= 20


@settings(max_examples=50, deadline=None)
@given(st.integers(64, 300), st.integers(64, 300), st.integers(0, 2**32 - 1))
def test_any_size_is_near_the_reference(height: int, width: int, seed: int) -> None:
    # On noise, coefficients crowd around the median. Then rounding of the reference's float32 sums decides.
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    expected, quality = reference(grey)
    found = PdqHasher().hash(grey)
    assert distance(found.bits, expected[0]) <= 2
    assert abs(found.quality - quality) <= 1


def test_strided_views_are_read_in_place() -> None:
    padded = np.zeros((360, 704), np.uint8)
    padded[:, :640] = textured(360, 640)
    view = padded[:, :640]
    assert PdqHasher().hash(view) == PdqHasher().hash(view.copy())
    assert PdqHasher().hash(view[::-1, ::-1]) == PdqHasher().hash(np.ascontiguousarray(view[::-1, ::-1]))


@settings(max_examples=50, deadline=None)
@given(st.integers(64, 240), st.integers(64, 240), st.integers(0, 1000))
def test_mirrored_is_the_hash_of_the_mirrored_frame(height: int, width: int, seed: int) -> None:
    grey = textured(height, width, seed)
    hasher = PdqHasher()
    found, turned = hasher.hash(grey), hasher.hash(grey[:, ::-1])
    assert distance(found.mirrored, turned.bits) <= 1
    assert distance(found.bits, turned.mirrored) <= 1


def test_brightness_and_contrast_hardly_matter() -> None:
    grey = textured(360, 640)
    limited = (16 + grey.astype(np.float64) * 219 / 255).round().astype(np.uint8)
    assert distance(PdqHasher().hash(grey).bits, PdqHasher().hash(limited).bits) <= 8


def test_what_cannot_be_hashed() -> None:
    hasher = PdqHasher()
    assert hasher.hash(np.zeros((4, 100), np.uint8)).quality == 0
    assert hasher.hash(np.zeros((100, 100), np.uint8)).quality == 0
    with pytest.raises(InvalidInput, match="luma: wants uint8"):
        hasher.hash(np.zeros((8, 8), np.float32))
    with pytest.raises(InvalidInput, match="luma: wants uint8"):
        hasher.hash(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(LimitExceeded, match="luma: 16385 pixels on a side"):
        hasher.hash(np.zeros((8, MAX_SIDE + 1), np.uint8))
    with pytest.raises(InvalidInput, match="64 hexadecimal digits"):
        parse_hex("ab")


def test_weights_are_kept_for_a_bounded_number_of_sizes() -> None:
    hasher = PdqHasher()
    first = hasher.hash(textured(64, 64))
    for side in range(65, 65 + MAX_AXES + 10):
        hasher.hash(np.zeros((side, side), np.uint8))
    for cache in (_row_blocks, _columns):
        assert cache.cache_info().currsize == MAX_AXES
    assert hasher.hash(textured(64, 64)) == first


@settings(deadline=None)
@given(st.integers(0, 90), st.integers(100, 200))
def test_a_stretch_of_the_rows_is_the_hash_of_those_columns(first: int, last: int) -> None:
    grey = textured(120, 200, seed=3)
    hasher = PdqHasher()
    assert hasher.hash_rows(hasher.rows(grey)[first:last]) == hasher.hash(grey[:, first:last])
