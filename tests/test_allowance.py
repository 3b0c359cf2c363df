"""Who does too much waits, and nobody else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge import allowance
from edge.allowance import Allowance


@given(
    st.integers(1, 20),
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from(["charge", "give_back"]), st.floats(0, 500)), max_size=80),
)
def test_it_is_a_token_bucket(per_s: int, burst: int, steps: list[tuple[str, float]]) -> None:
    bucket, now_ms = Allowance(per_s, burst), 0.0
    taken = 0.0  # tokens that the bucket lacks
    for what, pause_ms in steps:
        now_ms += pause_ms
        taken = max(0.0, taken - pause_ms * per_s / 1000)
        if what == "charge":
            taken += 1
            bucket.charge("one", now_ms)
        else:
            taken = max(0.0, taken - 1)
            bucket.give_back("one")
        owed_ms = max(0.0, taken - burst) * 1000 / per_s
        assert abs(bucket.debt_ms("one", now_ms) - owed_ms) < 1e-3
        assert bucket.debt_ms("another", now_ms) == 0.0


@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 200))
def test_who_waits_what_it_owes_is_held_to_the_rate(per_s: int, burst: int, calls: int) -> None:
    bucket, now_ms = Allowance(per_s, burst), 0.0
    for _ in range(calls):
        bucket.charge("one", now_ms)
        now_ms += bucket.debt_ms("one", now_ms)
    assert now_ms >= (calls - burst) * 1000 / per_s - 1e-3


@given(st.integers(1, 20), st.integers(1, 40), st.floats(0, 5000), st.lists(st.floats(0, 100), max_size=80))
def test_a_debt_is_bounded(per_s: int, burst: int, most_ms: float, pauses_ms: list[float]) -> None:
    bucket, plain, now_ms = Allowance(per_s, burst, most_ms), Allowance(per_s, burst), 0.0
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        for each in (bucket, plain):
            each.charge("one", now_ms)
        assert bucket.debt_ms("one", now_ms) <= min(most_ms, plain.debt_ms("one", now_ms)) + 1e-3


def test_it_forgets_who_was_charged_longest_ago() -> None:
    bucket = Allowance(1, 1)
    for number in range(allowance.MAX_KEYS + 1):
        bucket.charge(number, 0.0)
        bucket.charge(number, 0.0)
    assert bucket.debt_ms(0, 0.0) == 0.0
    assert bucket.debt_ms(1, 0.0) > 0.0
