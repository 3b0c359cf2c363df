"""What hears one stream: its windows of audio, their scores over time, and the signals that follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from edge.detect.audio.audio_windows import STEP_MS, AudioWindow, AudioWindows, ListeningRules
from edge.detect.audio.log_mel import Mel
from edge.detect.witness_persistence import Stretch, WitnessPersistence
from edge.detect.witness_specs import KOfN
from edge.domain import ModelKind, Signal

MOST_WAITING: Final = 32
"""Most windows that wait to be judged: 15 s. The oldest goes first."""
SILENT_MS: Final = 2_500.0
"""Without audio for so long, nothing that was heard goes on."""


class ScoresAudio(Protocol):
    """The audio model, as far as a stream needs it."""

    @property
    def rules(self) -> ListeningRules: ...

    def infer(self, patch: Mel) -> Mapping[str, float]: ...

    def persistence(self, on: Collection[str]) -> dict[str, KOfN]: ...

    def goes_on(self, scores: Mapping[str, float]) -> bool: ...


class StreamHearing:
    """Hears one stream with one model, for the categories that are on. Not thread-safe."""

    def __init__(self, model: ScoresAudio, on: Collection[str]) -> None:
        self.lost = 0
        """Number of due windows that were not judged since the caller last cleared it."""
        self.windows = 0
        """Number of windows so far, due or not."""
        self._model = model
        self._on = frozenset(on)
        self._windows = AudioWindows(model.rules)
        self._persistence = WitnessPersistence(
            model.persistence(on), ModelKind.AUDIO, STEP_MS, "windows of audio"
        )
        self._waiting: deque[AudioWindow] = deque()

    def fits(self, model: object, on: Collection[str]) -> bool:
        """Whether it hears with this model, for these categories."""
        return model is self._model and frozenset(on) == self._on

    @property
    def settled(self) -> bool:
        """Whether nothing is going on."""
        return self._persistence.settled

    def add_samples(self, samples: npt.NDArray[np.float32], start_ms: float, *, restarted: bool) -> None:
        """Takes the next mono samples ``(n,)`` at 16 kHz, of which the first is at ``start_ms``. Windows that
        end in them wait for ``waiting``."""
        for window in self._windows.add_samples(samples, start_ms, restarted=restarted):
            self.windows += 1
            if len(self._waiting) >= MOST_WAITING:
                self.lost += self._waiting.popleft().patch is not None
            if window.patch is not None or self._waiting or not self.settled:
                self._waiting.append(window)

    def waiting(self) -> Iterator[AudioWindow]:
        """Yields and removes the windows that wait, oldest first."""
        while self._waiting:
            yield self._waiting.popleft()

    def judge(self, window: AudioWindow) -> tuple[Signal, ...]:
        """Judges a window. Returns one signal for each category that is on, nothing once all have settled."""
        stretch = Stretch(window.begin_ms, window.end_ms)
        if window.patch is None:
            self._windows.go_on = False
            return self._persistence.add_scores(stretch, {})
        found = self._model.infer(window.patch)
        scores = {name: score for name, score in found.items() if name in self._on}
        self._windows.go_on = self._model.goes_on(scores)
        return self._persistence.add_scores(stretch, scores)

    def pass_over(self, window: AudioWindow) -> None:
        """Counts a window that there is no time for. What was heard before it stands until it is out of
        date."""
        self.lost += window.patch is not None

    def settle(self, pts_ms: float) -> tuple[Signal, ...]:
        """Ends what is going on, because no audio comes any more. Returns the last signals."""
        self._waiting.clear()
        self._windows.go_on = False
        return self._persistence.settle(pts_ms)
