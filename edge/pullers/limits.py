"""The limits of a pull, for both ends of it."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import SourceStalled


@dataclass(frozen=True, slots=True)
class PullLimits:
    """The first video must come within ``open_ms``. ``stall_ms`` is the longest later pause."""

    open_ms: int = 10_000
    stall_ms: int = 10_000
    max_access_unit_bytes: int = 64 * 1024 * 1024

    def wait_ms(self, *, opened: bool) -> int:
        """Returns how long the next video may take."""
        return self.stall_ms if opened else self.open_ms

    def stalled(self, *, opened: bool) -> SourceStalled:
        """Returns the error for a source from which no video came in time."""
        limit_ms = self.wait_ms(opened=opened)
        if opened:
            return SourceStalled(f"no video for {limit_ms} ms")
        return SourceStalled(f"no video within {limit_ms} ms (audio only, or nothing)")
