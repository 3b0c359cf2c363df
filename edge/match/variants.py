"""Variants of a known picture: what evaders make of it, hashed when it is banked.

PDQ gives way to crops of 2.5 %, turns of 1° and shifts of 1 %, and to no more. So every known frame is
banked as crops in steps of 2.5 %, turned and with keystone; a live frame then has a variant within
reach, and the edge pays index size and no time. The crops by one side answer overlays: a live frame is
looked up without its left and without its right fifth too, and one of them is without the logo.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge.match.border import inside_border
from edge.match.entry import Variant

U8 = npt.NDArray[np.uint8]

_BLACK = 16


class VariantSet(StrEnum):
    """Which variants of known footage are banked; an index grows in proportion."""

    NONE = "none"
    STANDARD = "standard"
    """Crops to 20 %, single sides: 17 hashes a frame."""
    FULL = "full"
    """Crops to 40 %, single sides, turned by up to 3°, keystone of 5 %: 33 hashes a frame."""


_CENTRED = {
    Variant[f"CROP_{percent:04.1f}".replace(".0", "").replace(".", "_")]: percent / 100
    for percent in np.arange(2.5, 40.1, 2.5).tolist()
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
_TURNS = {
    Variant.ROTATE_LEFT_3: -3.0,
    Variant.ROTATE_LEFT_1_5: -1.5,
    Variant.ROTATE_RIGHT_1_5: 1.5,
    Variant.ROTATE_RIGHT_3: 3.0,
}
_KEYSTONES = (
    *(Variant.KEYSTONE_TOP_5, Variant.KEYSTONE_BOTTOM_5),
    *(Variant.KEYSTONE_LEFT_5, Variant.KEYSTONE_RIGHT_5),
)
_KEYSTONE = 0.05


def variants_of(luma: U8, wanted: VariantSet) -> Iterator[tuple[Variant, U8]]:
    """Pictures made from a luma plane ``(h, w)``, the picture itself first; views where possible.

    A picture inside a plain border is varied without the border.
    """
    yield Variant.ORIGINAL, luma
    border = inside_border(luma)
    if border is not None:
        luma = border.of(luma)
        yield Variant.INSIDE, luma
    if wanted is VariantSet.NONE or min(luma.shape) < 32:
        return
    for variant, share in _CENTRED.items():
        if wanted is VariantSet.FULL or share <= 0.2:
            yield variant, cropped(luma, share / 2, share / 2, share / 2, share / 2)
    for variant, sides in _SIDES.items():
        yield variant, cropped(luma, *sides)
    if wanted is VariantSet.FULL:
        for variant, degrees in _TURNS.items():
            yield variant, _warped(luma, _turn(*luma.shape, degrees))
        for variant in _KEYSTONES:
            yield variant, _warped(luma, _keystone(*luma.shape, variant))


def cropped(luma: U8, left: float, right: float, top: float, bottom: float) -> U8:
    """A view without these shares of the sides."""
    height, width = luma.shape
    return luma[
        round(top * height) : height - round(bottom * height),
        round(left * width) : width - round(right * width),
    ]


_Map = tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]


def _warped(luma: U8, where: _Map) -> U8:
    """Each pixel from the nearest of its place in the source; PDQ's filter makes more than that vain."""
    source, outside = where
    warped = luma.take(source)
    warped[outside] = _BLACK
    return warped


@lru_cache(maxsize=16)
def _turn(height: int, width: int, degrees: float) -> _Map:
    """Turned about the centre, clockwise, black where nothing was."""
    y, x = _coordinates(height, width)
    angle = np.deg2rad(degrees)
    return _nearest(
        height,
        width,
        y * np.cos(angle) - x * np.sin(angle),
        x * np.cos(angle) + y * np.sin(angle),
    )


@lru_cache(maxsize=16)
def _keystone(height: int, width: int, variant: Variant) -> _Map:
    """One edge filmed from nearer: the source's edge is cut by 5 % at both ends and stretched."""
    y, x = _coordinates(height, width)
    down, across = y / height, x / width
    along = {
        Variant.KEYSTONE_TOP_5: 0.5 - down,
        Variant.KEYSTONE_BOTTOM_5: 0.5 + down,
        Variant.KEYSTONE_LEFT_5: 0.5 - across,
        Variant.KEYSTONE_RIGHT_5: 0.5 + across,
    }[variant]
    narrow = 1 - 2 * _KEYSTONE * along
    if variant in (Variant.KEYSTONE_TOP_5, Variant.KEYSTONE_BOTTOM_5):
        return _nearest(height, width, y + 0 * x, x * narrow)
    return _nearest(height, width, y * narrow, x + 0 * y)


def _coordinates(height: int, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Rows and columns as distances from the centre, broadcastable to the picture."""
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32)[None] - np.float32((width - 1) / 2)
    return y, x


def _nearest(height: int, width: int, y: npt.NDArray[np.floating], x: npt.NDArray[np.floating]) -> _Map:
    row = np.rint(y + (height - 1) / 2).astype(np.intp)
    column = np.rint(x + (width - 1) / 2).astype(np.intp)
    outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    return np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1), outside
