"""Scales a decoded frame to the RGB frame that a frame model judges, in one step."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from edge.detect.witness_specs import FrameInput

Rgb = NDArray[np.uint8]
"""A frame ``(height, width, 3)``."""


class FrameScaler:
    """Scales decoded frames as a manifest wants them.

    There is no RGB frame of the frame's own size: libswscale converts while it scales, by area averaging.
    One instance keeps one context. Share it between the frames of a thread, not between threads.
    """

    def __init__(self, wanted: FrameInput) -> None:
        self._wanted = wanted
        self._reformatter = VideoReformatter()

    def picture(self, frame: av.VideoFrame) -> Rgb:
        """Returns the frame, uint8 ``(height, width, 3)``. Sides are exchanged where the input turns and
        the frame is higher than wide."""
        wanted = self._wanted
        height, width = wanted.height, wanted.width
        if wanted.turns and (frame.height > frame.width) != (height > width):
            height, width = width, height
        if wanted.aspect == "stretched":
            return self._scaled(frame, height, width).copy()
        scale = min(height / frame.height, width / frame.width)
        fit_height = min(max(round(frame.height * scale), 1), height)
        fit_width = min(max(round(frame.width * scale), 1), width)
        canvas: Rgb = np.zeros((height, width, 3), np.uint8)
        canvas[:fit_height, :fit_width] = self._scaled(frame, fit_height, fit_width)
        return canvas

    def _scaled(self, frame: av.VideoFrame, height: int, width: int) -> Rgb:
        """Returns a view of the scaled frame."""
        # A second thread would take the core of another worker, and this one would wait for it.
        scaled = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=Interpolation.AREA, threads=1
        )
        stored = scaled.planes[0]
        rows = np.frombuffer(memoryview(stored), dtype=np.uint8).reshape(height, stored.line_size)
        return rows[:, : 3 * width].reshape(height, width, 3)
