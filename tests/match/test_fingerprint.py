"""What a bank keeps of a file: every frame, and of changed ones those that show footage."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from edge.match import VariantSet, fingerprint
from edge.match.entry import Variant

U8 = npt.NDArray[np.uint8]


def picture() -> U8:
    """Clouds of several sizes, uint8 (360, 640)."""
    rng = np.random.default_rng(3)
    luma = np.zeros((360, 640))
    for side in (90, 45, 20):
        cells = rng.uniform(-1, 1, (360 // side + 1, 640 // side + 1))
        luma += np.kron(cells, np.ones((side, side)))[:360, :640] * side
    return np.asarray(128 + luma * 110 / abs(luma).max(), np.uint8)


def written(path: Path, luma: U8) -> Path:
    with av.open(str(path), "w") as image:
        stream = image.add_stream("png", rate=1)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = luma.shape
        stream.pix_fmt = "gray"
        image.mux(stream.encode(av.VideoFrame.from_ndarray(luma, format="gray")))
        image.mux(stream.encode())
    return path


def variants_kept(path: Path) -> set[Variant]:
    footage = fingerprint(path, variants=VariantSet.WIDE, sound=False)
    return {run.variant for run in footage.hashes}


def test_of_footage_all_variants_are_kept(tmp_path: Path) -> None:
    kept = variants_kept(written(tmp_path / "clouds.png", picture()))
    assert {Variant.ORIGINAL, Variant.CROP_50, Variant.KEYSTONE_LEFT_10, Variant.LEFT_20} <= kept


def test_of_a_symmetrical_shape_only_what_is_itself_and_what_is_not_symmetrical_any_more(
    tmp_path: Path,
) -> None:
    half = picture()[:, :320]
    kept = variants_kept(written(tmp_path / "shape.png", np.hstack((half, half[:, ::-1]))))
    assert Variant.ORIGINAL in kept
    assert Variant.LEFT_20 in kept
    assert kept.isdisjoint({Variant.CROP_20, Variant.CROP_40, Variant.CROP_50})
