"""From a decoder's frame to the detector's luma plane, in one scaling step."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray


class PlaneScaler:
    """Scales decoded frames to luma planes of one size.

    One instance keeps one swscale context: share it between the frames of a thread, not between
    threads. Area averaging, because it keeps small far-away motion that point sampling drops.
    Training and the live path use this same class, so that their planes are bit-identical.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self.width = width
        self._reformatter = VideoReformatter()

    def plane(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """uint8 ``(height, width)``, full range; the aspect ratio is not kept."""
        gray = self._reformatter.reformat(
            frame, width=self.width, height=self.height, format="gray8", interpolation=Interpolation.AREA
        )
        stored = gray.planes[0]
        values: NDArray[np.uint8] = np.frombuffer(memoryview(stored), dtype=np.uint8)
        return values.reshape(self.height, stored.line_size)[:, : self.width].copy()
