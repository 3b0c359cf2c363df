"""The live streams as ``edge-gate top`` shows them: who comes first, and what a line says. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from edge.cli.incident_values import ACTIONS
from edge.contract.gen import gate_pb2, operator_pb2

SCORES: Final = 24
"""Changes of a stream whose scores are drawn."""
_BARS: Final = "▁▂▃▄▅▆▇█"


def state_of(stream: operator_pb2.Stream) -> str:
    """A live stream's state in a word or two, for people."""
    if stream.cutting:
        return "being cut"
    if not stream.watched:
        return "not watched"
    return ACTIONS.get(stream.action) or "watched"


def rank_of(stream: operator_pb2.Stream) -> tuple[int, int, int, float, str]:
    """The lowest comes first: who is being cut or was decided on, then alert, then the score."""
    alert = stream.tier == gate_pb2.TIER_KIND_ALERT
    return -stream.cutting, -stream.action, -alert, -stream.score, stream.stream_id


@dataclass(slots=True)
class LiveRow:
    """One stream, and the scores that it had."""

    stream: operator_pb2.Stream
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=SCORES))

    @property
    def state(self) -> str:
        return state_of(self.stream)

    @property
    def sparkline(self) -> str:
        """One bar a score, 0 to 1, the newest last."""
        steps = len(_BARS) - 1
        return "".join(_BARS[round(min(max(score, 0.0), 1.0) * steps)] for score in self.scores)


class LiveTable:
    """Keeps the live streams by the changes of ``WatchStreams``."""

    def __init__(self) -> None:
        self._rows: dict[str, LiveRow] = {}

    def take(self, change: operator_pb2.StreamChange) -> None:
        kind = change.WhichOneof("change")
        if kind == "resync":
            self._rows.clear()
        elif kind == "ended_stream_id":
            self._rows.pop(change.ended_stream_id, None)
        elif kind == "stream":
            row = self._rows.setdefault(change.stream.stream_id, LiveRow(change.stream))
            row.stream = change.stream
            row.scores.append(change.stream.score)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, wanted: str = "") -> Iterable[LiveRow]:
        """The streams whose application, name or broadcaster contains ``wanted``, by rank."""
        word = wanted.casefold()
        found = (
            row
            for row in self._rows.values()
            if not word or word in f"{row.stream.app}/{row.stream.name} {row.stream.broadcaster}".casefold()
        )
        return sorted(found, key=lambda row: rank_of(row.stream))
