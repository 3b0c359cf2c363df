"""The join of two sets of codes finds exactly the pairs that a comparison of all finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InvalidInput
from edge.match.index import join as module
from edge.match.index.hamming import Codes, codes_of, distances
from edge.match.index.join import join


def codes(draw: np.random.Generator, count: int, near: Codes | None = None) -> Codes:
    found = draw.integers(0, 256, (count, 32), np.uint8)
    if near is not None and len(near):
        for row in range(0, count, 2):  # every second is near one of the others
            bits = np.unpackbits(near[draw.integers(len(near))].view(np.uint8))
            bits[draw.choice(256, draw.integers(0, 40), replace=False)] ^= 1
            found[row] = np.packbits(bits)
    return codes_of(found)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    large=st.integers(0, 60),
    small=st.integers(0, 12),
    radius=st.integers(0, 31),
)
def test_it_finds_what_comparing_all_finds(seed: int, large: int, small: int, radius: int) -> None:
    draw = np.random.default_rng(seed)
    few = codes(draw, small)
    many = codes(draw, large, few)
    found = join(many, few, radius)
    wanted = [
        (at, other, int(far))
        for at, code in enumerate(many)
        for other, far in enumerate(distances(few, code))
        if far <= radius
    ]
    assert list(
        zip(*(each.tolist() for each in (found.large, found.small, found.distances)), strict=True)
    ) == (wanted)


def test_many_alike_are_found_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PAIRS", 7)
    monkeypatch.setattr(module, "BLOCK", 3)
    alike = codes_of(b"\x5a" * 32 * 10)
    found = join(alike, alike[:5])
    assert list(zip(found.large.tolist(), found.small.tolist(), strict=True)) == [
        (at, other) for at in range(10) for other in range(5)
    ]


def test_a_wider_radius_is_refused() -> None:
    with pytest.raises(InvalidInput, match="32"):
        join(codes_of(b""), codes_of(b""), 32)
