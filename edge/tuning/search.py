"""Searches thresholds for a guarantee. Pure.

The flag comes first, by recall: the highest threshold that flags the wanted share of violent stretches.
The raise must come early enough: the highest threshold at which the calm tier alone raises what dense
sampling flags. The cut comes last, by precision: among the candidates that keep the guarantee on the given
rows, the one that cuts most violence. Ties go to fewer false cuts, then to the higher threshold.

Flag and raise do not depend on the guarantee. So a stricter guarantee never gives more false cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.policy import CategoryPolicy
from edge.tuning.figures import counts
from edge.tuning.guarantee import Guarantee
from edge.tuning.outcome import Outcome
from edge.tuning.study import THRESHOLDS, Study

_NEVER = {"cut_at": 1.0}
RAISE_SHARE = 0.98
"""Share of the stretches flagged by dense sampling that the calm tier must raise by itself."""


@dataclass(frozen=True, slots=True)
class Proposal:
    part: CategoryPolicy
    flag_recall_reached: bool
    """Whether dense sampling reaches the wanted recall on the rows of the choice."""
    cuts_anything: bool
    """Whether it cuts violence on those rows. If not, no candidate does so within the guarantee."""


@dataclass(frozen=True, slots=True)
class Search:
    """The goal of the search, independent of the rows."""

    study: Study
    promise: Guarantee
    flag_recall: float
    current: CategoryPolicy
    """Supplies every value that is not searched for, and the ratio of ``release_at`` to ``raise_at``."""

    def choose(self, rows: Sequence[int]) -> Proposal:
        """Chooses the best candidate for these files."""
        flag, reached = self._flag(rows)
        cut = self._cut(rows, flag)
        found = counts(self.cut_outcomes(rows, cut))
        return Proposal(cut, reached, found.cut > 0)

    def _flag(self, rows: Sequence[int]) -> tuple[CategoryPolicy, bool]:
        flag_at, reached = self._flag_at(rows)
        raise_at = self._raise_at(rows, flag_at)
        part = self.current.model_copy(
            update={
                "raise_at": raise_at,
                "release_at": round(raise_at * self._release_of_raise, 4),
                "flag_at": flag_at,
                "false_flags_per_hour": None,
                **_NEVER,
            }
        )
        return part, reached

    @property
    def _release_of_raise(self) -> float:
        return self.current.release_at / self.current.raise_at if self.current.raise_at else 1.0

    def _flag_at(self, rows: Sequence[int]) -> tuple[float, bool]:
        highest = [value for row in rows for value in self.study.flaggable(row, self.current.belief)]
        for threshold in reversed(THRESHOLDS):
            if _share(highest, threshold) >= self.flag_recall:
                return threshold, True
        lowest = min((value for value in highest if value is not None), default=THRESHOLDS[0])
        return lowest, False

    def _raise_at(self, rows: Sequence[int], flag_at: float) -> float:
        peaks = [
            peak
            for row in rows
            for peak, highest in zip(
                self.study.calm_peaks[row], self.study.flaggable(row, self.current.belief), strict=True
            )
            if highest is not None and highest >= flag_at and peak is not None
        ]
        for threshold in reversed([value for value in THRESHOLDS if value <= flag_at]):
            if peaks and _share(peaks, threshold) >= RAISE_SHARE:
                return threshold
        return THRESHOLDS[0]

    def _cut(self, rows: Sequence[int], flag: CategoryPolicy) -> CategoryPolicy:
        best: tuple[tuple[float, ...], CategoryPolicy] | None = None
        for part in self.cuts(flag):
            found = counts(self.cut_outcomes(rows, part))
            if self.promise.kept_by(found):
                worth = (-found.cut, found.false_cuts, -part.cut_at)
                if best is None or worth < best[0]:
                    best = (worth, part)
        assert best is not None, "a promise is kept where nothing is cut"
        return best[1]

    def cuts(self, flag: CategoryPolicy) -> list[CategoryPolicy]:
        """Every candidate for the cut beside a given flag. The last, 1, never cuts."""
        return [flag.model_copy(update={"cut_at": at}) for at in THRESHOLDS if at >= flag.flag_at]

    def cut_outcomes(self, rows: Sequence[int], part: CategoryPolicy) -> list[Outcome]:
        """Outcomes of these files. A file that is not cut has the same outcome for every cut."""
        return [self._cut_outcome(row, part) for row in rows]

    def _cut_outcome(self, row: int, part: CategoryPolicy) -> Outcome:
        highest = self.study.cuttable(row, part)
        if highest is None or part.cut_at > highest:
            part = part.model_copy(update=_NEVER)
        return self.study.outcome(row, part)


def _share(values: Sequence[float | None], threshold: float) -> float:
    return sum(value is not None and value >= threshold for value in values) / max(len(values), 1)
