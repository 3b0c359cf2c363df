"""How long crises have left, by a clock that people set and one that never goes back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.crisis.crisis import Crisis


class Countdown:
    """Each crisis ends at its time by either clock, whichever is first.

    So a wall clock that is set back, also over a restart, does not prolong a crisis. What is kept over a
    restart is what each had left when ``look`` was called last.
    """

    def __init__(self, kept: Mapping[str, int], monotonic_ms: float) -> None:
        """``kept`` is what an earlier process last had in ``left``."""
        self._left = dict(kept)
        self._looked_ms = monotonic_ms

    def look(self, crises: Sequence[Crisis], wall_ms: int, monotonic_ms: float) -> dict[str, int]:
        """Milliseconds left of each crisis that has not ended, by name. 0: it is to end now."""
        passed = int(monotonic_ms - self._looked_ms)
        self._looked_ms += passed
        found = {}
        for crisis in crises:
            by_wall = crisis.left_ms(wall_ms)
            key = _key(crisis)
            found[key] = max(0, min(self._left.get(key, by_wall + passed) - passed, by_wall))
        self._left = found
        return {crisis.name: found[_key(crisis)] for crisis in crises}

    @property
    def left(self) -> Mapping[str, int]:
        """To be kept over a restart."""
        return self._left


def _key(crisis: Crisis) -> str:
    """The wait for a second person and the time in force count apart."""
    return f"{crisis.state.value} {crisis.name}"
