"""``python -m models.sound_report``: what the shipped recipe hears of sources that it never heard.

Two networks of the shipped recipe learnt from one side of the sources each. ``unseen-sounds.json`` holds the
other side's scores, and their own thresholds, which no recording of that side chose. So the figures need
no audio. Intervals are 95 % and resample whole groups.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from edge.detect.measures import roc_auc
from edge.intervals import bootstrap, poisson, wilson
from models.train.goals import Goal

SCORES: Final = Path(__file__).with_name("unseen-sounds.json")
COLUMNS: Final = ("gunfire", "explosion", "scream")
NEGATIVE: Final = {"gunfire": ("calm", "fireworks", "scream"), "scream": ("calm", "fireworks", "gunfire")}
AUC: Final = 0.975
RECALLS: Final = {"clean": 0.60, "noise 10 dB": 0.45, "AAC 32k": 0.40}
FALSE_FLAGS: Final = 2.0
FIREWORKS: Final = 1 / 7


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: a measure, its value with an interval, and what it is of."""

    network: str
    measure: str
    value: float
    low: float
    high: float
    of: str

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Unseen:
    """One network's scores of recordings whose sources it never heard."""

    def __init__(self, name: str, found: dict[str, Any]) -> None:
        self.name = name
        self.flag: dict[str, float] = found["flag"]
        self.rows: list[dict[str, Any]] = [
            {"label": label, "source": source, "group": group or source, "hours": hours, "best": best}
            | (under[0] if under else {})
            for key, rows in found["recordings"].items()
            for label, _, source in [key.partition("/")]
            for group, hours, best, *under in rows
        ]

    def of(self, *labels: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["label"] in labels]

    def figures(self) -> Iterator[Figure]:
        """All rows: ranking, recall by condition and source, false flags."""
        for name, negative in NEGATIVE.items():
            events = self.of(name)
            if events:
                yield self._ranking(name, events, self.of(*negative))
            if name in self.flag and events:
                for condition in ("clean", *(key for key in events[0] if key in _conditions(events))):
                    yield self._share(f"{name} recall, {condition}", events, name, self.flag[name], condition)
        yield self._false_flags(self.of("calm"), "calm")
        for source in sorted({row["source"] for row in self.of("calm")}):
            rows = [row for row in self.of("calm") if row["source"] == source]
            if any(self._flags(row) for row in rows):
                yield self._false_flags(rows, source)
        for label in ("fireworks", "game", "film"):
            rows = self.of(label)
            if rows:
                yield self._share(
                    f"{label} flagged as gunfire", rows, "gunfire", self.flag["gunfire"], "clean"
                )

    def _ranking(self, name: str, events: Sequence[Any], others: Sequence[Any]) -> Figure:
        column = COLUMNS.index(name)
        rows = [*events, *others]
        found = bootstrap(
            roc_auc,
            np.array([row["label"] == name for row in rows]),
            np.array([row["best"][column] for row in rows]),
            np.array([row["group"] for row in rows]),
        )
        hours = sum(row["hours"] for row in others)
        return Figure(self.name, f"{name} AUC", *found, f"{len(events)} events, {hours:.2f} h of others")

    def _share(self, measure: str, rows: Sequence[Any], name: str, at: float, condition: str) -> Figure:
        column = COLUMNS.index(name)
        scores = [row["best" if condition == "clean" else condition][column] for row in rows]
        over = np.array([score >= at for score in scores])
        value, low, high = bootstrap(
            lambda hits, _: float(hits.mean()) if len(hits) else float("nan"),
            over,
            np.array(scores),
            np.array([row["group"] for row in rows]),
        )
        least, most = wilson(int(over.sum()), len(rows))  # few groups say too little of themselves
        bounds = min(low, least), max(high, most)
        return Figure(self.name, measure, value, *bounds, f"{int(over.sum())} of {len(rows)} at {at:g}")

    def _flags(self, row: dict[str, Any]) -> int:
        return sum(row["best"][COLUMNS.index(name)] >= at for name, at in self.flag.items())

    def _false_flags(self, rows: Sequence[Any], what: str) -> Figure:
        hours = sum(row["hours"] for row in rows)
        count = sum(self._flags(row) for row in rows)
        low, high = (bound / hours for bound in poisson(count))
        return Figure(
            self.name, f"false flags an hour, {what}", count / hours, low, high, f"{count} in {hours:.2f} h"
        )


def _conditions(events: Sequence[dict[str, Any]]) -> set[str]:
    return set(events[0]) - {"label", "source", "group", "hours", "best"}


def read_unseen(path: Path = SCORES) -> list[Unseen]:
    """Reads the scores of both networks."""
    return [Unseen(name, found) for name, found in json.loads(path.read_text()).items()]


def goals(found: Sequence[Figure]) -> list[Goal]:
    """The goals of hearing that these figures tell something of, each network apart."""
    rows = []
    for figure in found:
        wanted: tuple[str, bool] | None = None
        if figure.measure == "gunfire AUC":
            wanted = f">= {AUC}", figure.value >= AUC
        elif figure.measure.startswith("gunfire recall, "):
            least = RECALLS.get(figure.measure.removeprefix("gunfire recall, "))
            wanted = None if least is None else (f">= {least}", figure.value >= least)
        elif figure.measure == "false flags an hour, calm":
            wanted = f"<= {FALSE_FLAGS:g}", figure.value <= FALSE_FLAGS
        elif figure.measure == "fireworks flagged as gunfire":
            wanted = f"<= {FIREWORKS:.3f}", figure.value <= FIREWORKS
        if wanted is not None:
            measure = f"{figure.measure} ({figure.network} network, {figure.of})"
            rows.append(Goal(measure, wanted[0], str(figure), wanted[1]))
    return rows


def main(
    scores: Annotated[Path, typer.Option(help="Scores of unseen recordings.")] = SCORES,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Reports goals and figures of hearing on sources that the networks never heard."""
    found = [figure for network in read_unseen(scores) for figure in network.figures()]
    if as_json:
        json.dump(
            {"goals": [asdict(row) for row in goals(found)], "figures": [asdict(row) for row in found]},
            sys.stdout,
            indent=1,
        )
        print()
        return
    print("| measure | goal | measured | |\n|---|---|---|---|")
    for row in goals(found):
        print(f"| {row.measure} | {row.goal} | {row.measured} | {'met' if row.met else 'missed'} |")
    print("\n| network | measure | value | of |\n|---|---|---|---|")
    for figure in found:
        print(f"| {figure.network} | {figure.measure} | {figure} | {figure.of} |")


if __name__ == "__main__":
    typer.run(main)
