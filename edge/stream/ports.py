"""What the pipeline needs of detect and match, and nothing more of them."""

from __future__ import annotations

from typing import Any, Protocol

import av
import numpy as np
import numpy.typing as npt

from edge.domain import Signal, Tier

Luma = npt.NDArray[np.uint8]


class DetectWindowPort(Protocol):
    """Window state of one stream."""

    def add(self, pts_ms: int, sample: Any, tier: Tier) -> tuple[Signal, ...]: ...


class DetectorPort(Protocol):
    """The detector of a worker: shared by its streams, used from one thread."""

    @property
    def delta_ms(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def input_size(self) -> tuple[int, int]: ...

    def plane(self, frame: av.VideoFrame) -> Luma:
        """Luma scaled to the input, uint8 ``(H, W)``."""
        ...

    def infer(self, planes: Luma) -> Any:
        """Score of one sample, planes uint8 ``(3, H, W)``; opaque, goes into the window."""
        ...

    def new_window(self) -> DetectWindowPort: ...

    def shares_planes(self, other: object) -> bool:
        """Whether planes made by the other serve this one, too."""
        ...
