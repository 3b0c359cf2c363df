"""The matcher of a worker: what goes wrong in the banks is no stream's fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from edge.match import Candidate, Items, Matcher, PdqHash
from edge.match.entry import AudioCandidate
from edge.match.evasion.filmed_screen import Quad
from edge.workers.crash_attribution import CurrentStreamPage

log = structlog.get_logger(__name__)


class GuardedMatcher(Matcher):
    """Marks its searches on the worker's page, and goes on without a bank whose search fails."""

    page: CurrentStreamPage
    searches_failed = 0
    """Number of searches of one bank that raised an error. The supervisor then checks the banks again."""

    @classmethod
    def of_worker(cls, copies: Path, page: CurrentStreamPage) -> GuardedMatcher:
        """Opens the verified copies of the banks. A copy that cannot be read is left out and listed."""
        matcher = cls.open(copies, strict=False, verify=False)
        matcher.page = page
        return matcher

    def query(
        self, luma: npt.NDArray[np.uint8], *, may_rescan: Callable[[PdqHash], bool] | None = None
    ) -> tuple[Candidate, ...]:
        with self.page.matching():
            return super().query(luma, may_rescan=may_rescan)

    def query_screens(self, luma: npt.NDArray[np.uint8], screens: Iterable[Quad]) -> tuple[Candidate, ...]:
        with self.page.matching():
            return super().query_screens(luma, screens)

    def query_audio(self, live: Items, new: int) -> tuple[AudioCandidate, ...]:
        with self.page.matching():
            return super().query_audio(live, new)

    def search_failed(self, bank: str, error: Exception) -> None:
        self.searches_failed += 1
        if self.searches_failed.bit_count() == 1:  # the 1st, 2nd, 4th, 8th …: a flood is no flood of lines
            log.error(
                "a bank cannot be searched; the sample is judged without it",
                bank=bank,
                failed=self.searches_failed,
                error=f"{type(error).__name__}: {error}",
            )
