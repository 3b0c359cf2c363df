"""Scales a decoded frame to the detector's luma plane in one step."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

BAR = 0
"""Value of the bars around the frame. The frame itself is never that dark, so its extent can be found."""


class PlaneScaler:
    """Scales decoded frames to luma planes of one size.

    Without ``short_side`` the frame fills the plane and loses its aspect. With it the frame keeps its
    aspect. Its shorter side becomes ``short_side`` pixels, or less where the longer side would not fit. The
    frame lies at the top left, and the rest of the plane is ``BAR``.

    One instance keeps one swscale context. Share it between the frames of a thread, not between threads. It
    uses area averaging, which keeps small distant motion that point sampling loses. Training and the live
    path use this same class, so their planes are bit-identical.
    """

    def __init__(self, height: int, width: int, short_side: int | None = None) -> None:
        self.height = height
        self.width = width
        self.short_side = short_side
        self._reformatter = VideoReformatter()

    def plane(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Returns the plane of a frame, uint8 ``(height, width)``, full range."""
        if self.short_side is None:
            return self._scaled(frame, self.height, self.width).copy()
        canvas = np.full((self.height, self.width), BAR, dtype=np.uint8)
        scaled = self._scaled_to_fit(frame)
        height, width = scaled.shape
        np.maximum(scaled, BAR + 1, out=canvas[:height, :width])
        return canvas

    def picture(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Returns the plane without its bars, uint8 ``(h, w)``."""
        if self.short_side is None:
            return self._scaled(frame, self.height, self.width).copy()
        return np.maximum(self._scaled_to_fit(frame), BAR + 1)

    def _scaled_to_fit(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        assert self.short_side is not None
        scale = min(
            self.short_side / min(frame.height, frame.width),
            self.height / frame.height,
            self.width / frame.width,
        )
        height = min(max(round(frame.height * scale), 1), self.height)
        width = min(max(round(frame.width * scale), 1), self.width)
        return self._scaled(frame, height, width)

    def _scaled(self, frame: av.VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
        """Returns a view of the scaled frame's plane."""
        # A second thread would take the core of another worker, and this one would wait for it.
        gray = self._reformatter.reformat(
            frame, width=width, height=height, format="gray8", interpolation=Interpolation.AREA, threads=1
        )
        stored = gray.planes[0]
        values: NDArray[np.uint8] = np.frombuffer(memoryview(stored), dtype=np.uint8)
        return values.reshape(height, stored.line_size)[:, :width]


def frame_size(plane: NDArray[np.uint8]) -> tuple[int, int]:
    """Returns height and width of the frame in a plane with bars, uint8 ``(H, W)``."""
    return int(np.count_nonzero(plane[:, 0])), int(np.count_nonzero(plane[0]))
