"""Priorities of incidents: bounded, and higher with each part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.console.priority import priority


@given(
    st.booleans(), st.floats(-1, 2), st.booleans(), st.floats(-1, 1e8), st.integers(-1, 9), st.floats(0.01, 1)
)
def test_a_priority_is_bounded_and_rises_with_each_of_its_parts(
    severe: bool, score: float, live: bool, waiting_ms: float, strikes: int, more: float
) -> None:
    def of(**changed: float) -> float:
        values = {
            "severe": severe,
            "score": score,
            "live": live,
            "waiting_ms": waiting_ms,
            "strikes": strikes,
        }
        return priority(**{**values, **changed})  # type: ignore[arg-type]

    assert 0 <= of() <= 100
    for part, higher in (
        ("severe", True),
        ("score", score + more),
        ("live", True),
        ("waiting_ms", waiting_ms + more * 1e6),
        ("strikes", strikes + 1),
    ):
        assert of(**{part: higher}) >= of()
    assert of(severe=True, score=1, live=True, waiting_ms=1e9, strikes=9) == 100
