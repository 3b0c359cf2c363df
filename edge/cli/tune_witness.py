"""``edge-gate tune`` for a category of audio or of single frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge.cli.output import console, print_table, stderr
from edge.domain import Action, ModelKind
from edge.errors import InvalidInput
from edge.policy import Policy

if TYPE_CHECKING:
    from edge.detect import PackFiles
    from edge.replay import LeftOut

FALSE_FLAGS: Final = 2.0
"""Most false flags an hour of calm where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class WitnessCategoryOf:
    """A category that a model of audio or single frames judges."""

    name: str
    kind: ModelKind
    together: frozenset[str]
    """The categories of its model."""


def witness_named(name: str, pack: PackFiles) -> WitnessCategoryOf | None:
    """The category of a pack with this name. None: no model of audio or single frames judges it."""
    for kind, models in ((ModelKind.AUDIO, pack.manifest.audio), (ModelKind.FRAME, pack.manifest.frames)):
        for model in models:
            names = frozenset(one.name for one in model.categories)
            if name in names:
                return WitnessCategoryOf(name, kind, names)
    return None


def tune_category(
    data: Path,
    left_out: list[LeftOut],
    category: WitnessCategoryOf,
    base: Policy,
    pack: PackFiles,
    wanted: float,
    jobs: int,
) -> tuple[dict[str, Any], Policy]:
    """Returns the result as plain values, and the proposed policy. Fills ``left_out``."""
    from edge.replay import left_out_of
    from edge.tuning.evaluation import labelled_by_folders, read_labels
    from edge.tuning.witness import recording_of, tune_witness

    if category.name not in base.categories:
        raise InvalidInput("--policy", f"it has no category {category.name!r}, which the model judges")
    part = base.categories[category.name]
    if part.alone is Action.PASS:
        raise InvalidInput("--category", f"{category.name!r} never acts alone, so it has no flag to tune")
    clips = read_labels(data, left_out, pack.manifest.categories)
    kept = [clip for clip in clips if clip.calm or clip.shows(category.name)]
    reports = _replay([clip.path for clip in kept], pack.directory, _alone(base, category), jobs)
    failed, recordings = [], []
    for clip, report in zip(kept, reports, strict=True):
        if "error" not in report:
            shows = clip.shows(category.name)
            recordings.append(recording_of(report, category.name, category.kind, clip.group, positive=shows))
        elif labelled_by_folders(data) and (other := left_out_of(clip.path, report)) is not None:
            left_out.append(other)
        else:
            failed.append(report)
    found = tune_witness(recordings, part, wanted)
    proposed = part.model_copy(update={"flag_at": found.flag_at})
    policy = base.model_copy(update={"categories": base.categories | {category.name: proposed}})
    values = {
        "data": {
            "path": str(data),
            "files": len(recordings),
            "groups": len({one.group for one in recordings}),
            "neither": len(clips) - len(kept),
            "failed": failed,
        },
        "model": {"name": pack.manifest.name, "version": pack.manifest.version, "digest": pack.digest},
        "category": category.name,
        "basis": "cross_validated" if found.cross_validated else "fitted",
        "current": {"flag_at": part.flag_limit},
        "proposal": {"flag_at": found.flag_at},
        "figures": found.figures.as_json(),
        "fitted": found.fitted.as_json(),
        "current_figures": found.current.as_json(),
        "promise": {
            "asked": "false_flags_per_hour",
            "wanted": wanted,
            "bound": found.figures.bound,
            "shown": found.shows(wanted),
            "text": found.text(wanted),
        },
        "curve": [
            {
                "flag_at": at,
                "false_flags_per_hour": round(one.rate, 3),
                "recall": round(sum(one.hits) / len(one.hits), 4) if one.hits else None,
            }
            for at, one in found.curve
        ],
        "left_out": [each.as_json() for each in left_out],
    }
    return values, policy


def _alone(base: Policy, category: WitnessCategoryOf) -> Policy:
    """The policy with the categories of one model alone: the others would cost, and decide nothing here."""
    parts = {
        name: part.model_copy(update={"enabled": name in category.together})
        for name, part in base.categories.items()
    }
    return base.model_copy(update={"categories": parts, "rules": (), "apps": {}, "tenants": {}})


def _replay(paths: list[Path], directory: Path, policy: Policy, jobs: int) -> list[dict[str, Any]]:
    from rich.progress import MofNCompleteColumn, Progress

    from edge.replay import ReplayPool, ReplaySetup

    reports: dict[int, dict[str, Any]] = {}
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal, transient=True) as progress:
        task = progress.add_task("recordings", total=len(paths))
        for index, report in ReplayPool(ReplaySetup(directory, None, policy), jobs).reports(
            paths, windows=True
        ):
            reports[index] = report
            progress.advance(task)
    return [reports[index] for index in range(len(paths))]


def print_result(result: Mapping[str, Any]) -> None:
    """Prints a result for people."""
    data, model = result["data"], result["model"]
    console.print(
        f"{data['path']}: {data['files']} recordings in {data['groups']} groups; "
        f"model {model['name']} {model['version']}",
        soft_wrap=True,
    )
    titles = {"figures": "proposed, unseen", "fitted": "proposed, same recordings", "current_figures": "now"}
    if result["basis"] == "fitted":
        del titles["figures"]
    print_table(
        ("with 95 % intervals", *titles.values()),
        [
            ("flag_at", *(result[of]["flag_at"] for of in (*["proposal"] * (len(titles) - 1), "current"))),
            (
                "false flags an hour of calm",
                *(_cell(result[name]["false_flags_per_hour"]) for name in titles),
            ),
            ("recordings of it that are flagged", *(_cell(result[name]["recall"]) for name in titles)),
        ],
        empty="",
    )
    console.print(result["promise"]["text"], soft_wrap=True)
    if result["applied"]:
        console.print(f"applied: {result['applied']}")


def _cell(values: list[float] | None) -> str:
    return "–" if values is None else "{:.3g} ({:.3g} to {:.3g})".format(*values)
