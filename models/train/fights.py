"""``python -m models.train.fights [DATA] [CALM]``: fights on sources that no model learnt from, beside goals.

The live pipeline judges the clips under the model's default policy. A clip's score is its highest belief.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from edge.detect import default_model_directory
from edge.detect.default_policy import default_policy
from edge.detect.measures import roc_auc
from edge.intervals import bootstrap, rate_upper_bound, wilson
from edge.policy import CategoryPolicy, Mode
from edge.replay import ReplaySetup
from edge.tuning.evaluation import LabelledClip, read_labels
from models.train.goals import Goal
from models.train.index import DATA

CATEGORY = "fight"
AUC = 0.90
CUT = 0.30
FLAGGED = 0.75
CALM_FLAGGED = 0.12
FLAGS_AN_HOUR = 2.0

Report = Mapping[str, Any]


def flags_in(report: Report, part: CategoryPolicy) -> int:
    """How often the belief of a replayed file rises over the limit. It must be calm again in between."""
    count, armed = 0, True
    for _, belief, name in report["windows"]:
        if name == CATEGORY and armed and belief >= part.flag_limit:
            count, armed = count + 1, False
        elif name == CATEGORY and belief < part.release_at:
            armed = True
    return count


def fight_goals(
    clips: Sequence[LabelledClip], reports: Sequence[Report], long: Sequence[Report], part: CategoryPolicy
) -> list[Goal]:
    """The rows of labelled clips with their replays, and of replays of long calm footage.

    Intervals of AUC resample whole groups; those of shares are Wilson's, of clips.
    """
    judged = [(clip, each) for clip, each in zip(clips, reports, strict=True) if "error" not in each]
    violent = np.array([clip.violent for clip, _ in judged])
    scores = np.array([each["categories"][CATEGORY]["score_max"] for _, each in judged])
    groups = np.array([clip.group for clip, _ in judged], dtype=np.str_)
    acted = {
        key: np.array([each["categories"][CATEGORY][key] is not None for _, each in judged])
        for key in ("first_flag_s", "first_cut_s")
    }
    cut, flagged = acted["first_cut_s"], acted["first_flag_s"] | acted["first_cut_s"]
    auc = bootstrap(roc_auc, violent, scores, groups, 400)
    flags = sum(flags_in(each, part) for each in long)
    hours = sum(each["duration_s"] for each in long) / 3600
    calm_cuts = int(cut[~violent].sum())
    return [
        Goal("fights: AUC of the highest belief", f">= {AUC:.2f}", str(auc), auc.value >= AUC),
        _share("fights cut", cut[violent], at_least=CUT),
        Goal("calm clips cut", "0", _of(cut[~violent]), calm_cuts == 0),
        _share("fights flagged or cut", flagged[violent], at_least=FLAGGED),
        _share("calm clips flagged or cut", flagged[~violent], at_most=CALM_FLAGGED),
        Goal(
            "false flags an hour, long calm footage",
            f"<= {FLAGS_AN_HOUR:g}",
            f"{flags / hours:.1f} ({flags} in {hours:.2f} h, at most {rate_upper_bound(flags, hours):.1f})",
            flags / hours <= FLAGS_AN_HOUR,
        ),
    ]


def _share(measure: str, hits: np.ndarray[Any, Any], *, at_least: float = 0.0, at_most: float = 1.0) -> Goal:
    goal = f">= {at_least:.0%}" if at_least else f"<= {at_most:.0%}"
    return Goal(measure, goal, _of(hits), at_least <= float(hits.mean()) <= at_most)


def _of(hits: np.ndarray[Any, Any]) -> str:
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{hits.mean():.1%} [{low:.1%}, {high:.1%}] ({hits.sum()} of {len(hits)})"


def main(
    data: Annotated[Path, typer.Argument(help="Labelled clips of unseen sources.")] = DATA / "more-clips",
    calm: Annotated[Path, typer.Argument(help="Folder of long calm footage.")] = DATA / "long-calm",
    model: Annotated[Path | None, typer.Option(help="Folder of the model pack.")] = None,
) -> None:
    """Judges fights on unseen sources with the live pipeline, and prints goals beside figures."""
    directory = model or default_model_directory()
    policy = default_policy(directory)
    part = policy.categories[CATEGORY]
    alone = policy.model_copy(update={"categories": {CATEGORY: part}, "mode": Mode.ENFORCE, "rules": ()})
    # In enforcement a stream ends with its cut: what comes later in a long file must still count.
    watched = alone.model_copy(update={"categories": {CATEGORY: part.model_copy(update={"cut_at": 1.0})}})
    setup = ReplaySetup(directory, None, alone)
    clips = read_labels(data)
    judge = setup.open_judge()
    reports = [judge.run(clip.path) for clip in track(clips, description="clips")]
    judge = replace(setup, policy=watched).open_judge()
    files = sorted(path for path in calm.iterdir() if path.is_file())
    long = [judge.run(path, windows=True) for path in track(files, description="long calm footage")]
    print("| fights, unseen sources | goal | measured | |")
    print("|---|---|---|---|")
    for row in fight_goals(clips, reports, long, part):
        print(f"| {row.measure} | {row.goal} | {row.measured} | {'met' if row.met else 'missed'} |")


if __name__ == "__main__":
    typer.run(main)
