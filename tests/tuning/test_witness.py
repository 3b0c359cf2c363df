"""The flag threshold of a category of audio or single frames, from false flags of calm recordings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Action, ModelKind
from edge.errors import InvalidInput
from edge.policy import CategoryPolicy
from edge.tuning.witness import JudgedRecording, candidates, flags_of, recording_of, tune_witness

pytest.importorskip("scipy")
PART = CategoryPolicy(alone=Action.FLAG, raise_at=0.2, release_at=0.1, flag_at=0.7, cut_at=1.0)


def recording(group: str, hours: float, *scores: float, positive: bool = False) -> JudgedRecording:
    windows = [[number, score, "gunfire"] for number, score in enumerate(scores)]
    report = {"duration_s": 3600 * hours, "windows": [*windows, [0.0, 1.0, "scream"]]}
    return recording_of(report, "gunfire", ModelKind.AUDIO, group, positive=positive)


def calm(hours: float, *peaks: float) -> list[JudgedRecording]:
    """Recordings of an hour, each with one of the peaks, as far as there are any."""
    rest = [0.0] * (round(hours) - len(peaks))
    return [recording(f"calm-{n}", 1.0, 0.0, peak, 0.0) for n, peak in enumerate([*peaks, *rest])]


def guns(*peaks: float) -> list[JudgedRecording]:
    return [recording(f"gun-{n}", 0.01, 0.0, peak, positive=True) for n, peak in enumerate(peaks)]


def test_the_lowest_threshold_that_the_calm_shows_to_keep_the_rate() -> None:
    peaks = [0.5] * 40
    found = tune_witness([*calm(60, *peaks), *guns(0.4, 0.55, 0.9, 0.95)], PART, 0.5)
    assert found.flag_at == 0.52
    assert (found.fitted.flags, found.fitted.hits) == (0, (False, True, True, True))
    assert (found.cross_validated, found.figures.flags, found.figures.hours) == (True, 0, 60)
    assert found.shows(0.5)
    assert "were asked for" in found.text(0.5)


def test_too_little_calm_never_lowers_a_threshold() -> None:
    found = tune_witness([*calm(1), *guns(0.9)], PART, 2.0)
    assert found.flag_at == 0.7
    assert not found.shows(2.0)
    assert "1.5 h without one would show it" in found.text(2.0)


def test_too_little_calm_raises_one_that_is_too_low() -> None:
    assert tune_witness(calm(2, 0.8, 0.75), PART, 0.2).flag_at == 0.82


def test_where_no_threshold_keeps_the_rate_none_is_changed_and_nothing_shown() -> None:
    found = tune_witness(calm(10, *[1.0] * 10), PART, 0.5)
    assert (found.flag_at, found.shows(0.5)) == (0.7, False)
    assert "had more than that" in found.text(0.5)


def test_each_recording_is_judged_by_what_was_chosen_without_its_group() -> None:
    """One group alone is loud. Whatever is chosen without it flags it."""
    found = tune_witness([*calm(100), recording("loud", 1.0, *[0.9, 0.0] * 60)], PART, 0.1)
    assert (found.fitted.flags, found.figures.flags) == (0, 60)


def test_flags_are_episodes_as_the_gate_counts_them() -> None:
    assert flags_of(recording("a", 1.0, 0.8, 0.9, 0.15, 0.8, 0.05, 0.75), PART) == 2


def test_calm_alone_is_enough_and_none_is_refused() -> None:
    found = tune_witness(calm(3), PART, 2.0)
    assert found.figures.as_json()["recall"] is None
    with pytest.raises(InvalidInput, match="no calm recording"):
        tune_witness(guns(0.9), PART, 2.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.05, 20))
def test_a_higher_rate_never_proposes_a_higher_threshold(peaks: list[float], wanted: float) -> None:
    recordings = calm(max(len(peaks), 30), *peaks)
    strict, lax = (tune_witness(recordings, PART, rate) for rate in (wanted, 2 * wanted))
    assert lax.flag_at <= strict.flag_at
    assert strict.flag_at in candidates(PART)
