"""Protocols for the parts of detect that the pipeline needs."""

from __future__ import annotations

from typing import Any, Protocol

import av
import numpy as np
import numpy.typing as npt

from edge.domain import Signal, Tier

Luma = npt.NDArray[np.uint8]


class AudioListener(Protocol):
    """What listens to the audio of one stream."""

    def add_samples(self, samples: npt.NDArray[np.float32], start_ms: float, *, restarted: bool) -> None:
        """Takes the next mono samples ``(n,)`` at 16 kHz, of which the first is at ``start_ms``.

        ``restarted``: they do not continue the samples before.
        """
        ...


class FrameTaker(Protocol):
    """What looks at single frames of one stream."""

    alert: bool
    """Whether the stream is in the alert tier for a reason."""

    def wants(self, pts_ms: int) -> bool:
        """Whether a decoded frame is due."""
        ...

    def add_frame(self, frame: av.VideoFrame, pts_ms: int, arrival_ms: float) -> None:
        """Takes a frame that is due. It is scaled at once and not kept."""
        ...


class DetectWindowPort(Protocol):
    """The detector's window of one stream."""

    def add_sample(self, pts_ms: int, sample: Any, tier: Tier) -> tuple[Signal, ...]: ...


class DetectorPort(Protocol):
    """The detector of a worker. All its streams share it in one thread."""

    @property
    def categories(self) -> tuple[str, ...]: ...

    @property
    def delta_ms(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def input_size(self) -> tuple[int, int]: ...

    def plane(self, frame: av.VideoFrame) -> Luma:
        """Returns a frame's luma scaled to the input size, uint8 ``(H, W)``."""
        ...

    def infer(self, planes: Luma) -> Any:
        """Scores one sample, planes uint8 ``(3, H, W)``. The result is opaque and goes into the window."""
        ...

    def new_window(self) -> DetectWindowPort: ...

    def shares_planes(self, other: object) -> bool:
        """Whether this detector can use the planes of the other one."""
        ...
