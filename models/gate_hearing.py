"""What the gate hears of one recording: onset gate, windows, model and persistence, as on a live stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.detect.audio.audio_model import AudioModel
from edge.detect.audio.hearing import StreamHearing
from edge.detect.audio.log_mel import RATE

PAUSE: Final = RATE
"""Samples of the pause before a recording."""

Samples = npt.NDArray[np.float32]
Bring = Callable[[Samples, StreamHearing], Iterator[None]]
"""Brings samples to the gate, and gives way whenever windows may wait."""


def with_pauses(samples: Samples) -> Samples:
    """Puts a second of silence before a recording and three after it: what it says is over by then."""
    return np.pad(samples, (PAUSE, 3 * PAUSE))


def plain(samples: Samples, hearing: StreamHearing) -> Iterator[None]:
    """Brings half a second at a time."""
    for begin in range(0, len(samples), RATE // 2):
        piece = samples[begin : begin + RATE // 2]
        hearing.add_samples(piece, 1000 * begin / RATE, restarted=not begin)
        yield


def scores_of(model: AudioModel, samples: Samples, bring: Bring) -> dict[str, list[float]]:
    """Returns the signals of a clip by category, one for each window that was judged."""
    hearing = StreamHearing(model, model.categories)
    found: dict[str, list[float]] = {name: [0.0] for name in model.categories}
    for _ in bring(samples, hearing):
        for window in hearing.waiting():
            for signal in hearing.judge(window):
                found[signal.category].append(signal.score)
    return found
