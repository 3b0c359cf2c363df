"""A frame is scaled to RGB as training saw it, with its aspect kept."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest

from edge.detect.sight.frame_scaler import FrameScaler
from edge.detect.witness_specs import FrameInput


def scaler(**values: Any) -> FrameScaler:
    wanted = {"name": "x", "height": 160, "width": 288, "turns": True} | values
    return FrameScaler(FrameInput.model_validate(wanted))


def frame(height: int, width: int, rgb: tuple[int, int, int] = (200, 40, 90)) -> av.VideoFrame:
    picture = np.full((height, width, 3), rgb, np.uint8)
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")


@pytest.mark.parametrize(
    ("size", "shape", "filled"),
    [
        ((720, 1280), (160, 288), (160, 284)),
        ((480, 640), (160, 288), (160, 213)),
        ((1280, 720), (288, 160), (284, 160)),
        ((200, 200), (160, 288), (160, 160)),
        ((64, 1000), (160, 288), (18, 288)),
        ((90, 120), (160, 288), (160, 213)),
    ],
)
def test_a_frame_keeps_its_aspect_and_lies_at_the_top_left(
    size: tuple[int, int], shape: tuple[int, int], filled: tuple[int, int]
) -> None:
    picture = scaler().picture(frame(*size))
    assert picture.shape == (*shape, 3)
    assert picture.dtype == np.uint8
    seen = picture.max(axis=2) > 0
    assert (int(seen.any(axis=1).sum()), int(seen.any(axis=0).sum())) == filled
    height, width = filled
    assert np.abs(picture[2 : height - 2, 2 : width - 2].astype(int) - (200, 40, 90)).max() <= 6


def test_without_turning_and_stretched_the_shape_is_always_the_same() -> None:
    assert scaler(turns=False).picture(frame(1280, 720)).shape == (160, 288, 3)
    stretched = scaler(aspect="stretched").picture(frame(720, 720))
    assert stretched.shape == (160, 288, 3)
    assert stretched[-1, -1].any()


def test_frames_of_one_scaler_do_not_share_memory() -> None:
    one = scaler(aspect="stretched")
    first = one.picture(frame(96, 128))
    before = first.copy()
    one.picture(frame(96, 128, rgb=(0, 250, 0)))
    assert np.array_equal(first, before)


def test_a_small_bright_thing_is_averaged_and_not_skipped() -> None:
    """Point sampling would lose it, or show it in full."""
    drawn = np.zeros((720, 1280, 3), np.uint8)
    drawn[100:102, 300:302] = 255
    shown = av.VideoFrame.from_ndarray(drawn, format="rgb24")
    picture = scaler().picture(shown)
    assert 5 < picture.max() < 120
