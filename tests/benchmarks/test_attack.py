"""The figures of an attack, and where its first shot lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks._attack_media import AUDIO_RATE, Programme, first_loud_ms
from benchmarks.attack import Case, Outcome, report


def outcome(kind: str, level_db: int, mode: str = "direct", **values: float | bool | None) -> Outcome:
    case = Case("reference", mode, Programme(Path("x.flv"), kind, level_db, 5_000))
    usual: dict[str, object] = {"flag_ms": None, "cut_ms": None, "saw_at_flag_ms": None, "saw_ms": 8_000.0}
    return Outcome(case, **(usual | values), category="gunfire")  # type: ignore[arg-type]


def test_figures_are_of_what_came_after_the_first_shot() -> None:
    found = report(
        [
            outcome("shots", 20, flag_ms=1_000.0, saw_at_flag_ms=900.0),
            outcome("shots", 10, flag_ms=3_000.0, saw_at_flag_ms=2_900.0),
            outcome("shots", 10, false_flag=True),
            outcome("armed", 20, "hold_back", flag_ms=500.0, cut_ms=2_000.0, saw_ms=0.0),
        ]
    )
    shots, armed = found["shots"], found["armed"]
    assert (shots["published"], shots["flagged"], shots["false_flags"], shots["cut"]) == (3, 2, 1, 0)
    assert shots["to_flag_ms"]["p50"] == 2_000
    assert shots["to_cut_ms"] == {}
    assert shots["by_level_db"]["10"]["to_flag_ms"]["max"] == 3_000
    assert shots["viewers_saw_ms"]["direct"]["at_flag"]["max"] == 2_900
    assert armed["to_cut_ms"]["p50"] == 2_000
    assert armed["viewers_saw_ms"] == {"hold_back": {"at_flag": {}, "in_all": {"p50": 0, "p95": 0, "max": 0}}}
    assert found["game"] is None


def test_the_first_shot_is_where_it_gets_loud() -> None:
    sound = np.full(2 * AUDIO_RATE, 0.001, np.float32)
    sound[AUDIO_RATE : AUDIO_RATE + 800] = 0.5
    assert first_loud_ms(sound) == 1_000
