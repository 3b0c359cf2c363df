"""Finds known audio in the decoded audio frames of one stream."""

from __future__ import annotations

import av
import numpy as np

from edge.domain import Signal
from edge.match import AudioFingerprinter, AudioItems, AudioLookup, AudioMatcher, Items


class KnownAudio:
    """Fingerprints and looks up the audio of one stream. Raises ConfigError where libchromaprint is
    missing."""

    def __init__(self, banks: AudioLookup) -> None:
        self._hearing = AudioFingerprinter()
        self._listening = AudioMatcher(banks)

    def restart(self) -> None:
        """Forgets what was heard, because some is left out."""
        self._listening.restart()

    def add_frame(self, frame: av.AudioFrame, start_ms: float) -> AudioItems:
        """Takes the next frame. Returns what it completes, for ``look_up``. Raises as the fingerprinter
        does."""
        return self._hearing.add_frame(frame, start_ms)

    def finish(self) -> AudioItems:
        """Ends the audio. Returns the last items, for ``look_up``."""
        return self._hearing.finish()

    def look_up(self, heard: list[AudioItems]) -> tuple[Signal, ...]:
        """Looks up consecutive items together. A lookup costs about the same for one item as for eight."""
        signals: tuple[Signal, ...] = ()
        run: list[Items] = []
        start_ms = 0.0
        for each in heard:
            if each.restarted:
                signals += self._listen(run, start_ms)
                run = []
                self._listening.restart()
            if len(each.items):
                start_ms = start_ms if run else each.start_ms
                run.append(each.items)
        return signals + self._listen(run, start_ms)

    def _listen(self, run: list[Items], start_ms: float) -> tuple[Signal, ...]:
        return self._listening.add_items(np.concatenate(run), start_ms) if run else ()
