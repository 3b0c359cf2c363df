"""Computes PDQ directly from a decoder's luma plane.

PDQ is linear up to its median step: two Jarosz box filters and a decimation to 64×64 along each axis, then
sixteen low DCT rows. The filters and the decimation of one axis fuse into 64 short rows of weights, because
a decimated tent touches each input row about once. So the 64×64 frame, and with it the quality, costs one
pass over the plane. There is no colour conversion and no scaling beforehand.

Algorithm and bit order: facebook/ThreatExchange, ``pdq/cpp/hashing/pdqhashing.cpp`` and
``pdq/cpp/downscaling/downscaling.cpp``; written from the description, not from the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge.errors import InvalidInput, LimitExceeded

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

HASH_BYTES = 32
HASH_BITS = 256
MIN_SIDE = 5
"""Smallest side that can be hashed. A smaller frame has the zero hash and quality 0."""
MAX_SIDE = 16_384
MAX_PIXELS = 1 << 27
MAX_AXES = 128
"""Number of heights, and of widths, whose weights are cached."""

LIMITED_RANGE = 255 / 219
"""Scale of the quality for video, which is measured in levels. Its luma spans 219, the reference's grey
255."""

_GRID = 64
_ROW_BLOCK = 8
_LOWER_MEDIAN = HASH_BITS // 2 - 1


class Dihedral(StrEnum):
    """The eight symmetries of a frame, named by the change to it."""

    ORIGINAL = "original"
    ROTATE_90 = "rotate_90"
    ROTATE_180 = "rotate_180"
    ROTATE_270 = "rotate_270"
    FLIP_X = "flip_x"
    """Flipped top to bottom."""
    MIRROR = "mirror"
    """Flipped left to right. The reference calls it ``FlipY``."""
    FLIP_PLUS_1 = "flip_plus_1"
    FLIP_MINUS_1 = "flip_minus_1"


@dataclass(frozen=True, slots=True)
class PdqHash:
    """The PDQ hash of one frame. Each hash has 32 bytes, most significant first, as the reference prints
    it."""

    bits: bytes
    mirrored: bytes
    """Hash of the frame mirrored left to right."""
    quality: int
    """0 to 100. Under 50 a match proves little."""

    @property
    def hex(self) -> str:
        return self.bits.hex()


def parse_hex(text: str, field: str = "hash") -> bytes:
    """Parses 64 hexadecimal digits into 32 bytes. Raises InvalidInput, which names ``field``."""
    text = text.strip()
    if len(text) != 2 * HASH_BYTES:
        raise InvalidInput(field, f"a PDQ hash has 64 hexadecimal digits, not {len(text)}")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidInput(field, f"not hexadecimal: {text[:64]!r}") from None


def distance(a: bytes, b: bytes) -> int:
    """Returns the Hamming distance of two 32-byte hashes, 0 to 256."""
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def _dct_rows() -> F32:
    frequency = np.arange(1, 17)[:, None]
    position = 2 * np.arange(_GRID)[None] + 1
    return np.asarray(np.sqrt(2 / _GRID) * np.cos(np.pi / (2 * _GRID) * frequency * position), np.float32)


_DCT = _dct_rows()
_REVERSED: F32 = np.where(np.arange(16) % 2 == 0, -1, 1).astype(np.float32)
"""Reversing an axis negates its odd frequencies, which are the even indices."""


def _tent(length: int) -> tuple[npt.NDArray[np.intp], F32]:
    """Returns the start of each of the 64 decimated points on an axis, (64,), and its weights, (64, taps)."""
    window = (length + 2 * _GRID - 1) // (2 * _GRID)
    centres = ((np.arange(_GRID) + 0.5) * length / _GRID).astype(np.intp)
    taps = min(2 * window + 1, length)
    starts = np.clip(centres - window, 0, length - taps)
    weights = np.zeros((_GRID, taps))
    at = starts[:, None] + np.arange(taps)
    first, end = _box(centres, length, window)
    # Two box filters in a row give the mean, over the second window, of the means of the first.
    for step in range(window):
        between = first + step
        inside = between < end
        low, high = _box(np.minimum(between, length - 1), length, window)
        covered = (at >= low[:, None]) & (at < high[:, None]) & inside[:, None]
        weights += covered / ((high - low) * (end - first))[:, None]
    return starts, weights.astype(np.float32)


def _box(
    at: npt.NDArray[np.intp], length: int, window: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns first and last + 1 of the samples that a box filter averages at a place. Fewer at the ends."""
    ahead = (window + 2) // 2
    return np.maximum(at + ahead - window, 0), np.minimum(at + ahead, length)


@lru_cache(maxsize=MAX_AXES)
def _row_blocks(height: int) -> tuple[tuple[int, int, npt.NDArray[np.intp], F32], ...]:
    """Returns for each block of grid rows: first, last + 1, input rows (block, taps), weights (block, 1,
    taps)."""
    starts, weights = _tent(height)
    index = starts[:, None] + np.arange(weights.shape[1])
    return tuple(
        (low, low + _ROW_BLOCK, index[low : low + _ROW_BLOCK], weights[low : low + _ROW_BLOCK, None, :])
        for low in range(0, _GRID, _ROW_BLOCK)
    )


@lru_cache(maxsize=MAX_AXES)
def _columns(width: int) -> tuple[npt.NDArray[np.intp], F32]:
    """Returns input columns (128, taps) and weights (128, 1, taps) of the frame's and its mirror image's
    64 points."""
    starts, weights = _tent(width)
    columns = starts[:, None] + np.arange(weights.shape[1])
    return np.vstack((columns, width - 1 - columns)), np.vstack((weights, weights))[:, None, :]


class PdqHasher:
    """Hashes luma planes. All hashers share the cached weights of the last 128 heights and widths.

    Not thread-safe, because calls share the scratch buffer.
    """

    def __init__(self, *, contrast: float = 1.0) -> None:
        """``contrast`` scales the quality. Use ``LIMITED_RANGE`` for video luma."""
        self._contrast = np.float32(contrast)
        self._scratch = np.empty(0, dtype=np.float32)

    def hash(self, luma: U8) -> PdqHash:
        """Hashes a luma plane, uint8 ``(h, w)``. It is read in place, whatever its strides.

        The hash equals the reference's for the same grey bytes. Raises InvalidInput when the array is not
        two-dimensional uint8, and LimitExceeded for a side over 16,384 or over 2²⁷ pixels.
        """
        if luma.ndim == 2 and min(luma.shape) < MIN_SIDE:
            return PdqHash(bytes(HASH_BYTES), bytes(HASH_BYTES), 0)
        return self.hash_rows(self.rows(luma))

    def rows(self, luma: U8) -> F32:
        """Does the first half of the work: filters and decimates a plane along its height, float32 ``(w,
        64)``.

        The slice ``rows[a:b]`` belongs to columns a to b of the plane. Raises as ``hash`` does, and
        InvalidInput for a side under 5 pixels.
        """
        _check(luma)
        narrow = np.empty((_GRID, luma.shape[1]), dtype=np.float32)
        for low, high, index, weights in _row_blocks(luma.shape[0]):
            block = luma[index]
            if block.size > self._scratch.size:
                self._scratch = np.empty(block.size, dtype=np.float32)
            scratch = self._scratch[: block.size].reshape(block.shape)
            np.copyto(scratch, block, casting="unsafe")
            np.matmul(weights, scratch, out=narrow[low:high, None, :])
        return np.ascontiguousarray(narrow.T)

    def hash_rows(self, rows: F32) -> PdqHash:
        """Does the second half: hashes the result of ``rows``, or a slice of it."""
        grid, mirrored = _grids(rows)
        # The mirrored hash is not the sign flip of the odd columns. The decimation is off centre by up to
        # two pixels, which moves the mirrored hash of a 256-pixel frame by 24 bits and more. Both share
        # the rows anyway.
        return PdqHash(
            _to_bits(_transform(grid)), _to_bits(_transform(mirrored)), quality(grid * self._contrast)
        )

    def dihedral(self, luma: U8) -> dict[Dihedral, bytes]:
        """Returns the hashes of all eight symmetries, derived from one transform as in the reference.

        Because of the off-centre decimation they differ from the hash of the changed frame: not at all at
        720p, by 24 bits and more at 256 pixels.
        """
        f = _transform(_grids(self.rows(luma))[0])
        x, y = _REVERSED, _REVERSED[:, None]
        return {
            Dihedral.ORIGINAL: _to_bits(f),
            Dihedral.ROTATE_90: _to_bits((f * x).T),
            Dihedral.ROTATE_180: _to_bits(f * x * y),
            Dihedral.ROTATE_270: _to_bits((f * y).T),
            Dihedral.FLIP_X: _to_bits(f * y),
            Dihedral.MIRROR: _to_bits(f * x),
            Dihedral.FLIP_PLUS_1: _to_bits(f.T),
            Dihedral.FLIP_MINUS_1: _to_bits((f * x * y).T),
        }


def _grids(rows: F32) -> tuple[F32, F32]:
    """Returns the filtered and decimated 64×64 frame, and the same of the mirrored frame."""
    columns, weights = _columns(len(rows))
    # Taps take a third of the time of a dense product, and are too small for BLAS to start threads.
    both = np.matmul(weights, rows.take(columns, axis=0))
    return both[:_GRID, 0].T, both[_GRID:, 0].T


def _check(luma: U8) -> None:
    if luma.ndim != 2 or luma.dtype != np.uint8:
        raise InvalidInput("luma", f"wants uint8 (h, w), got {luma.dtype} {luma.shape}")
    height, width = luma.shape
    if min(height, width) < MIN_SIDE:
        raise InvalidInput("luma", f"{width}×{height} is smaller than {MIN_SIDE} pixels on a side")
    if max(height, width) > MAX_SIDE:
        raise LimitExceeded("luma", MAX_SIDE, max(height, width), "pixels on a side")
    if height * width > MAX_PIXELS:
        raise LimitExceeded("luma", MAX_PIXELS, height * width, "pixels")


def _transform(grid: F32) -> F32:
    return np.asarray((_DCT @ grid) @ _DCT.T, dtype=np.float32)


def quality(grid: F32) -> int:
    """Returns PDQ's image-domain quality of the 64×64 frame: the sum of its significant gradients, 0 to
    100."""
    total = 0
    for step in (grid[:-1] - grid[1:], grid[:, :-1] - grid[:, 1:]):
        step *= np.float32(100)
        step /= np.float32(255)
        total += int(np.abs(step.astype(np.int32)).sum())
    return min(100, total // 90)


def _to_bits(coefficients: npt.NDArray[np.floating]) -> bytes:
    flat = coefficients.ravel()
    median = np.partition(flat, _LOWER_MEDIAN)[_LOWER_MEDIAN]
    # The reference counts bits from the least significant end of the printed hash.
    return np.packbits((flat > median)[::-1]).tobytes()
