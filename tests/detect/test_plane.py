"""Training and the live path share one scaling step."""

from __future__ import annotations

import av
import numpy as np
import pytest

from edge.detect import Detector, PlaneScaler


def picture(height: int, width: int, seed: int = 0) -> av.VideoFrame:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


@pytest.mark.parametrize(("height", "width"), [(360, 640), (720, 1280), (640, 360), (98, 66), (1080, 1920)])
def test_plane_has_the_inputs_size_whatever_the_frame(detector: Detector, height: int, width: int) -> None:
    plane = detector.plane(picture(height, width))
    assert plane.shape == detector.input_size
    assert plane.dtype == np.uint8
    assert plane.flags.c_contiguous


def test_plane_is_bit_identical_across_scalers_and_history(detector: Detector) -> None:
    """A scaler that has seen other sizes gives the same bits as a fresh one."""
    frame = picture(360, 640)
    short_side = detector.manifest.input.short_side
    wanted = PlaneScaler(*detector.input_size, short_side).plane(frame)
    used = PlaneScaler(*detector.input_size, short_side)
    used.plane(picture(720, 1280, 1))
    np.testing.assert_array_equal(used.plane(frame), wanted)
    np.testing.assert_array_equal(detector.plane(frame), wanted)


def test_area_average_keeps_the_mean() -> None:
    pixels = np.zeros((480, 640, 3), dtype=np.uint8)
    pixels[::2, ::2] = 255
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="gray8")
    assert abs(float(PlaneScaler(60, 80).plane(frame).mean()) - 255 / 4) < 1.5


def test_a_plane_outlives_the_next_frame() -> None:
    scaler = PlaneScaler(64, 64)
    first = scaler.plane(picture(120, 160, 1))
    kept = first.copy()
    scaler.plane(picture(120, 160, 2))
    np.testing.assert_array_equal(first, kept)
