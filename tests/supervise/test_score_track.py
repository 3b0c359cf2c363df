"""The scores that people see beside a clip: the highest of each quarter second, of the last two minutes."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge.supervise.score_track import SLOT_MS, SLOTS, ScoreTrack

SAMPLES = st.lists(
    st.tuples(
        st.sampled_from(["fight", "gunfire"]),
        st.integers(-500, 400_000),
        st.floats(0, 1, width=32) | st.just(math.nan),
    )
)


@given(SAMPLES)
def test_a_slot_has_the_highest_score_of_its_time(samples: list[tuple[str, int, float]]) -> None:
    track, expected, newest = ScoreTrack(), dict[tuple[int, str], float](), -1
    for category, pts_ms, score in samples:
        track.note(category, pts_ms, score)
        slot = pts_ms // SLOT_MS
        if slot < 0 or math.isnan(score) or slot <= newest - SLOTS:
            continue
        newest = max(newest, slot)
        expected[slot, category] = max(expected.get((slot, category), 0.0), round(score, 4))
    kept = {key: score for key, score in expected.items() if key[0] > newest - SLOTS}
    assert {(p.pts_ms // SLOT_MS, p.category): p.score for p in track.points()} == kept
    assert [point.pts_ms for point in track.points()] == sorted(slot * SLOT_MS for slot, _ in kept)


def test_only_what_is_asked_for_is_said() -> None:
    track = ScoreTrack()
    for pts_ms in range(0, 4000, 1000):
        track.note("fight", pts_ms, 0.5)
    assert [point.pts_ms for point in track.points(1500)] == [2000, 3000]


def test_categories_are_bounded() -> None:
    track = ScoreTrack()
    for number in range(1000):
        track.note(f"category-{number}", 0, 0.5)
    assert len(track.points()) == 16


def test_the_last_two_minutes_in_steps_the_highest_category_first() -> None:
    track = ScoreTrack()
    assert track.lately() == ()
    for second in range(200):
        track.note("fight", second * 1000, 0.25)
        if second == 150:
            track.note("gunfire", second * 1000, 0.75)
    (highest, gunfire), (other, fight) = track.lately()
    assert (highest, other) == ("gunfire", "fight")
    assert len(gunfire) == len(fight) == 60
    assert set(fight) == {0.25}
    assert [at for at, score in enumerate(gunfire) if score >= 0] == [60 - (200 - 150) // 2]
    track.note("fight", 200_000, 1.0)
    assert track.lately()[0] == ("fight", (*fight[1:], 1.0))
