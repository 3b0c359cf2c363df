"""Runs the proposal on the live pipeline, and compares it with the simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.containment import ProcessRole
from edge.containment import role as roles
from edge.detect import read_pack
from edge.domain import Action
from edge.policy import CategoryPolicy, MatchPolicy, Policy
from edge.replay import Replay, ReplaySetup
from edge.tuning.cache import ScoreCache
from edge.tuning.labels import printable
from edge.tuning.study import Study

_ACTIONS = {Action.FLAG: "first_flag_s", Action.CUT: "first_cut_s"}


@dataclass(frozen=True, slots=True)
class VerifySetup:
    """The settings for judging files. Small enough to send to another process."""

    model_dir: Path
    policy: Policy
    cache_dir: Path

    def open_judge(self) -> Replay:
        policy = self.policy.model_copy(update={"match": MatchPolicy(enabled=False)})
        return Replay(ReplaySetup(self.model_dir, None, policy))

    def role(self, paths: Sequence[Path]) -> ProcessRole:
        return roles.tuning([self.model_dir], paths)

    def take(self, path: Path, report: dict[str, Any]) -> dict[str, Any]:
        """Stores the report in the cache."""
        taken = ReplaySetup(self.model_dir, None, self.policy).take(path, report)
        cache, about = self.cache()
        with suppress(OSError):
            cache.store_report(cache.key(path, about), taken)
        return taken

    def cached(self) -> Callable[[Path], dict[str, Any] | None]:
        cache, about = self.cache()

        def look_up(path: Path) -> dict[str, Any] | None:
            with suppress(OSError):
                if (report := cache.load_report(cache.key(path, about))) is not None:
                    return report | {"path": str(path)}
            return None

        return look_up

    def cache(self) -> tuple[ScoreCache, str]:
        """The cache, and the text that its keys depend on besides the file."""
        digest = read_pack(self.model_dir).digest
        about = self.policy.model_dump_json(include={"categories", "tiers"})
        return ScoreCache(self.cache_dir, digest, self.policy), about


@dataclass(frozen=True, slots=True)
class LiveCheck:
    """The first stream of each file: live against simulated."""

    files: int
    alike: int
    """Files with the same severest action, whatever its time."""
    differing: tuple[str, ...]
    """``PATH: what``, at most twenty."""
    live_flagged: int
    live_cut: int
    simulated_flagged: int
    simulated_cut: int


def compare(study: Study, part: CategoryPolicy, reports: Mapping[int, Mapping[str, Any]]) -> LiveCheck:
    """Compares live and simulated actions. ``reports`` holds replay reports by row of the study. Leaves out
    those with an error."""
    rows = [row for row in study.rows if row in reports and "error" not in reports[row]]
    live = {row: {a for a, name in _ACTIONS.items() if reports[row][name] is not None} for row in rows}
    simulated = {row: set(study.first_decisions(row, part)) for row in rows}
    differing = [row for row in rows if _severest(live[row]) != _severest(simulated[row])]
    return LiveCheck(
        files=len(rows),
        alike=len(rows) - len(differing),
        differing=tuple(
            f"{printable(study.files[row].footage.path)}: live {_severest(live[row])}, "
            f"simulated {_severest(simulated[row])}"
            for row in differing[:20]
        ),
        live_flagged=_count(live.values(), 1),
        live_cut=_count(live.values(), 2),
        simulated_flagged=_count(simulated.values(), 1),
        simulated_cut=_count(simulated.values(), 2),
    )


def _severest(done: set[Action]) -> str:
    return (Action.CUT if Action.CUT in done else Action.FLAG if Action.FLAG in done else Action.PASS).value


def _count(found: Any, least: int) -> int:
    ranks: Sequence[str] = ("pass", "flag", "cut")
    return sum(ranks.index(_severest(done)) >= least for done in found)
