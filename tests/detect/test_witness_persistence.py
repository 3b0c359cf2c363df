"""A score counts where it persists, and goes back to nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect.audio.audio_windows import STEP_MS, WINDOW_MS
from edge.detect.witness_persistence import Stretch, WitnessPersistence
from edge.detect.witness_specs import KOfN
from edge.domain import ModelKind, Signal, SignalSource

RULE = KOfN(k=2, n=5)


def persistence(**rules: KOfN) -> WitnessPersistence:
    return WitnessPersistence(rules, ModelKind.AUDIO, STEP_MS, "windows of audio")


def window(number: int) -> Stretch:
    end_ms = 1000 + number * STEP_MS
    return Stretch(end_ms - WINDOW_MS, end_ms)


def played(scores: list[float | None], rule: KOfN = RULE) -> list[Signal | None]:
    """The signal after each window. None among the scores: the window was not due."""
    judge = persistence(gunfire=rule)
    found: list[Signal | None] = []
    for number, score in enumerate(scores):
        said = judge.add_scores(window(number), {} if score is None else {"gunfire": score})
        found.append(said[0] if said else None)
    return found


def test_one_window_is_nothing_and_two_are_the_weaker_of_them() -> None:
    said = played([0.9, 0.1, 0.8])
    assert [signal and signal.score for signal in said] == [0.0, 0.1, 0.8]
    last = said[-1]
    assert last is not None
    assert (last.source, last.category) == (SignalSource.DETECT, "gunfire")
    assert (last.begin_pts_ms, last.pts_ms) == (round(window(0).begin_ms), round(window(2).end_ms))


def test_it_says_when_it_is_over_and_then_nothing_more() -> None:
    said = played([0.9, 0.9, None, None, None, None, None, None])
    assert [signal and signal.score for signal in said] == [0.0, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0, None]


def test_nothing_is_said_of_silence() -> None:
    assert played([None] * 9) == [None] * 9


def test_audio_that_ends_is_over() -> None:
    judge = persistence(gunfire=RULE, scream=KOfN(k=1, n=1))
    assert judge.settle(5) == ()
    judge.add_scores(window(0), {"gunfire": 0.9, "scream": 0.4})
    assert not judge.settled
    assert [(s.category, s.score, s.pts_ms) for s in judge.settle(9)] == [
        ("gunfire", 0.0, 9),
        ("scream", 0.0, 9),
    ]
    assert judge.settled
    assert judge.settle(10) == ()


def test_windows_before_a_gap_do_not_count_for_long() -> None:
    judge = persistence(gunfire=RULE)
    judge.add_scores(window(0), {"gunfire": 0.9})
    assert judge.add_scores(window(4), {"gunfire": 0.8})[0].score == 0.8
    judge = persistence(gunfire=RULE)
    judge.add_scores(window(0), {"gunfire": 0.9})
    assert judge.add_scores(window(5), {"gunfire": 0.8})[0].score == 0.0


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0.01, 1)), max_size=30),
    st.integers(1, 5).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))),
    st.floats(0.02, 1),
)
def test_it_is_over_a_threshold_exactly_where_k_of_n_windows_are(
    scores: list[float | None], rule: tuple[int, int], threshold: float
) -> None:
    k, n = rule
    for number, signal in enumerate(played(scores, KOfN(k=k, n=n))):
        last = [score or 0.0 for score in scores[max(0, number - n + 1) : number + 1]]
        over = sum(score >= threshold for score in last) >= k
        assert (signal is not None and signal.score >= threshold) == over
