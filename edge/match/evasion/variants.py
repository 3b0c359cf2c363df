"""Variants of a known frame: likely evasions, hashed when the frame is banked.

PDQ tolerates crops of 2.5 %, rotations of 1° and shifts of 1 %, and no more. So every known frame is banked
as crops in steps of 2.5 %, rotated and with keystone. A live frame then has a variant within the radius.
The index grows; lookups stay fast. Crops of one side answer overlays: a live frame is also looked up
without its left or right fifth, and one of the two lacks the logo.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge.match.entry import Variant
from edge.match.evasion.homography import homography
from edge.match.evasion.letterbox import inside_border

U8 = npt.NDArray[np.uint8]

_BLACK = 16
MIN_VARIED = 32
"""Least side of a frame that gets variants, pixels."""


class VariantSet(StrEnum):
    """Which variants of known footage are banked. The index grows in proportion."""

    NONE = "none"
    LIGHT = "light"
    """Crops to 20 %, single sides: 17 hashes a frame."""
    FULL = "full"
    """Crops to 40 %, single sides, turned by up to 3°, keystone of 5 %: 33 hashes a frame."""
    WIDE = "wide"
    """Crops to 50 %, turned by up to 7.5°, keystone to 10 %: 51 hashes a frame."""


_CENTRED = {
    Variant[f"CROP_{percent:04.1f}".replace(".0", "").replace(".", "_")]: percent / 100
    for percent in np.arange(2.5, 50.1, 2.5).tolist()
}
_SIDES = {
    Variant.LEFT_10: (0.1, 0, 0, 0),
    Variant.RIGHT_10: (0, 0.1, 0, 0),
    Variant.TOP_10: (0, 0, 0.1, 0),
    Variant.BOTTOM_10: (0, 0, 0, 0.1),
    Variant.LEFT_20: (0.2, 0, 0, 0),
    Variant.RIGHT_20: (0, 0.2, 0, 0),
    Variant.TOP_20: (0, 0, 0.2, 0),
    Variant.BOTTOM_20: (0, 0, 0, 0.2),
}
_MOST_CROPPED = {VariantSet.LIGHT: 0.2, VariantSet.FULL: 0.4, VariantSet.WIDE: 0.5}
_TURNS = {
    VariantSet.FULL: {
        Variant.ROTATE_LEFT_3: -3.0,
        Variant.ROTATE_LEFT_1_5: -1.5,
        Variant.ROTATE_RIGHT_1_5: 1.5,
        Variant.ROTATE_RIGHT_3: 3.0,
    },
    VariantSet.WIDE: {
        Variant.ROTATE_LEFT_7_5: -7.5,
        Variant.ROTATE_LEFT_6: -6.0,
        Variant.ROTATE_LEFT_4_5: -4.5,
        Variant.ROTATE_RIGHT_4_5: 4.5,
        Variant.ROTATE_RIGHT_6: 6.0,
        Variant.ROTATE_RIGHT_7_5: 7.5,
    },
}
_Corners = tuple[tuple[float, float], ...]


def _keystones(percent: str) -> dict[Variant, _Corners]:
    """Corners of the source as shares of width and height, clockwise from the top left."""
    s = float(percent.replace("_", ".")) / 100
    return {
        Variant[f"KEYSTONE_TOP_{percent}"]: ((s, 0), (1 - s, 0), (1, 1), (0, 1)),
        Variant[f"KEYSTONE_BOTTOM_{percent}"]: ((0, 0), (1, 0), (1 - s, 1), (s, 1)),
        Variant[f"KEYSTONE_LEFT_{percent}"]: ((0, s), (1, 0), (1, 1), (0, 1 - s)),
        Variant[f"KEYSTONE_RIGHT_{percent}"]: ((0, 0), (1, s), (1, 1 - s), (0, 1)),
    }


_KEYSTONES = {VariantSet.FULL: _keystones("5"), VariantSet.WIDE: _keystones("7_5") | _keystones("10")}


def views_of(luma: U8) -> Iterator[tuple[Variant, U8]]:
    """Yields the views of a luma plane ``(h, w)`` by which a live frame is looked up, itself first."""
    yield from variants_of(luma, VariantSet.NONE)
    if min(luma.shape) >= MIN_VARIED:
        for variant in (Variant.LEFT_20, Variant.RIGHT_20):
            yield variant, cropped(luma, *_SIDES[variant])


def variants_of(luma: U8, wanted: VariantSet) -> Iterator[tuple[Variant, U8]]:
    """Yields variants of a luma plane ``(h, w)``, the frame itself first. They are views where possible.

    A frame with a plain border is varied with and without it, because an evader may cut off a part of the
    border only. The border that a crop leaves is removed, as it is from a live frame.
    """
    yield Variant.ORIGINAL, luma
    border = inside_border(luma)
    if border is not None:
        yield Variant.INSIDE, border.of(luma)
    if wanted is VariantSet.NONE or min(luma.shape) < MIN_VARIED:
        return
    if border is not None:
        yield from _changed(border.of(luma), wanted)
    for variant, picture in _changed(luma, wanted):
        left = inside_border(picture) if border is not None else None
        yield variant, picture if left is None else left.of(picture)


def _changed(luma: U8, wanted: VariantSet) -> Iterator[tuple[Variant, U8]]:
    for variant, share in _CENTRED.items():
        if share <= _MOST_CROPPED[wanted]:
            yield variant, cropped(luma, share / 2, share / 2, share / 2, share / 2)
    for variant, sides in _SIDES.items():
        yield variant, cropped(luma, *sides)
    sets = {VariantSet.FULL: (VariantSet.FULL,), VariantSet.WIDE: (VariantSet.FULL, VariantSet.WIDE)}
    for one in sets.get(wanted, ()):
        for variant, degrees in _TURNS[one].items():
            yield variant, _warped(luma, _turn(*luma.shape, degrees))
        for variant, corners in _KEYSTONES[one].items():
            yield variant, _warped(luma, _perspective(*luma.shape, corners))


def cropped(luma: U8, left: float, right: float, top: float, bottom: float) -> U8:
    """Returns a view without these shares of the sides."""
    height, width = luma.shape
    return luma[
        round(top * height) : height - round(bottom * height),
        round(left * width) : width - round(right * width),
    ]


_Map = tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]


def _warped(luma: U8, where: _Map) -> U8:
    """Maps each pixel to its nearest source pixel. PDQ's filter makes interpolation useless."""
    source, outside = where
    warped = luma.take(source)
    warped[outside] = _BLACK
    return warped


@lru_cache(maxsize=32)
def _turn(height: int, width: int, degrees: float) -> _Map:
    """Rotates clockwise about the centre. Uncovered pixels are black."""
    y, x = _coordinates(height, width)
    angle = np.deg2rad(degrees)
    return _nearest(
        height,
        width,
        y * np.cos(angle) - x * np.sin(angle),
        x * np.cos(angle) + y * np.sin(angle),
    )


@lru_cache(maxsize=32)
def _perspective(height: int, width: int, corners: _Corners) -> _Map:
    """Stretches the quadrangle with these corners to the whole frame."""
    a, b, c, d, e, f, g, h = homography(corners)
    down = ((np.arange(height) + 0.5) / height)[:, None]
    across = ((np.arange(width) + 0.5) / width)[None]
    depth = g * across + h * down + 1
    column = (a * across + b * down + c) / depth * width - width / 2
    row = (d * across + e * down + f) / depth * height - height / 2
    return _nearest(height, width, row, column)


def _coordinates(height: int, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Distances of rows and columns from the centre, broadcastable to the frame."""
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32)[None] - np.float32((width - 1) / 2)
    return y, x


def _nearest(height: int, width: int, y: npt.NDArray[np.floating], x: npt.NDArray[np.floating]) -> _Map:
    row = np.rint(y + (height - 1) / 2).astype(np.intp)
    column = np.rint(x + (width - 1) / 2).astype(np.intp)
    outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    return np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1), outside
