"""A kernel without some of the measures, for tests: a real one cannot be told to forget them."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from edge.containment.role import Measure, ProcessRole


class KernelDouble:
    """Notes what came into force, and changes nothing."""

    def __init__(self, lacks: Iterable[Measure] = ()) -> None:
        self._lacks = frozenset(lacks)
        self.in_force: list[Measure] = []

    def check(self, measure: Measure) -> None:
        if measure in self._lacks:
            raise OSError(errno.ENOSYS, f"this kernel has no {measure}")

    def put_in_force(self, measure: Measure, role: ProcessRole) -> None:
        self.in_force.append(measure)
