"""Still frames are told from moving ones, whatever the encoder does to them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from edge.match.fingerprint import frames_of
from edge.match.stillness import KEPT, SIDE, Pictures, fields_of, still_times

U8 = npt.NDArray[np.uint8]


def bars(index: int) -> U8:
    """A test card."""
    return np.broadcast_to(np.repeat(np.arange(235, 15, -28, dtype=np.uint8), 40), (240, 320)).copy()


def slides(index: int) -> U8:
    rng = np.random.default_rng(index // 100)
    return np.kron(rng.integers(30, 230, (12, 16)), np.ones((20, 20))).astype(np.uint8)


def wall(index: int) -> U8:
    """With the noise of a camera."""
    rng = np.random.default_rng(index)
    plain = 90 + 40 * np.linspace(0, 1, 320)[None] + rng.normal(0, 4, (240, 320))
    return np.clip(plain, 0, 255).astype(np.uint8)


def walker(index: int) -> U8:
    """Somebody crosses a fixed camera's view."""
    picture = wall(index)
    left = 20 + 4 * index % 240
    picture[120:200, left : left + 30] = 200
    return picture


def recorded(picture: object, crf: str, path: Path, frames: int = 75) -> list[tuple[int, U8]]:
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": crf, "g": "50", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        for index in range(frames):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture(index), format="gray")))  # type: ignore[operator]
        out.mux(video.encode())
    return [(at, luma.copy()) for at, _, luma in frames_of(path)]


@pytest.mark.parametrize("crf", ["23", "36"])
@pytest.mark.parametrize("picture", [bars, slides, wall])
def test_a_card_a_slide_and_a_wall_stand_still(picture: object, crf: str, tmp_path: Path) -> None:
    shown = recorded(picture, crf, tmp_path / "still.mp4")
    times = [at for at, _ in shown]
    assert still_times(times, [fields_of(luma) for _, luma in shown]) == tuple(times)
    pictures = Pictures()
    assert {pictures.number_of(luma) for _, luma in shown} == {0}


def test_a_change_of_slides_is_no_motion(tmp_path: Path) -> None:
    shown = recorded(slides, "23", tmp_path / "slides.mp4", 150)
    times = [at for at, _ in shown]
    assert still_times(times, [fields_of(luma) for _, luma in shown]) == tuple(times)


def test_somebody_before_a_fixed_camera_moves(tmp_path: Path) -> None:
    shown = recorded(walker, "30", tmp_path / "walker.mp4")
    assert still_times([at for at, _ in shown], [fields_of(luma) for _, luma in shown]) == ()
    pictures = Pictures()
    assert len({pictures.number_of(luma) for _, luma in shown[::5]}) >= 10


def test_a_frame_is_known_again_and_few_are_kept() -> None:
    pictures = Pictures()
    shown = [np.full((48, 64), 15 * number, np.uint8) for number in range(KEPT)]
    assert [pictures.number_of(picture) for picture in shown] == list(range(KEPT))
    assert pictures.number_of(shown[0]) == 0
    assert pictures.number_of(np.full((48, 64), 254, np.uint8)) == KEPT
    assert pictures.number_of(shown[0]) == KEPT + 1, "it was the oldest"


@pytest.mark.parametrize("size", [(1, 1), (5, 400), (31, 33), (240, 320)])
def test_fields_are_means_at_any_size(size: tuple[int, int]) -> None:
    luma = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    fields = fields_of(luma)
    assert fields.shape == (min(SIDE, size[0]), min(SIDE, size[1]))
    assert fields.min() >= luma.min()
    assert fields.max() <= luma.max()
    assert np.allclose(fields_of(np.full(size, 200, np.uint8)), 200)
