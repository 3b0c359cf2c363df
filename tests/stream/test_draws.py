"""Draws: even, repeatable with the secret, and unrelated without it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.stream.draws import SEED_BYTES, Draws, Purpose, new_seed


@given(st.binary(min_size=1, max_size=64), st.sampled_from(Purpose), st.integers(-(2**63), 2**63))
def test_draws_lie_in_their_range_and_repeat(seed: bytes, purpose: Purpose, number: int) -> None:
    share = Draws(seed).share(purpose, number)
    assert 0 <= share < 1
    assert Draws(seed).share(purpose, number) == share
    assert -7 <= Draws(seed).shift(purpose, number, 7) <= 7
    assert Draws(seed).shift(purpose, number, 0) == 0


def test_draws_are_even_and_differ_by_seed_purpose_and_number() -> None:
    shares = [Draws(b"a").share(Purpose.LOOK, number) for number in range(4000)]
    for tenth in range(10):
        assert 300 < sum(tenth <= 10 * share < tenth + 1 for share in shares) < 500
    others = [Draws(b"b").share(Purpose.LOOK, number) for number in range(4000)]
    third = [Draws(b"a").share(Purpose.SPARE, number) for number in range(4000)]
    for left, right in ((shares, others), (shares, third), (shares[1:], shares[:-1])):
        together = sum((x < 0.5) == (y < 0.5) for x, y in zip(left, right, strict=True)) / len(left)
        assert 0.45 < together < 0.55


def test_every_stream_has_a_secret_of_its_own() -> None:
    seeds = {new_seed() for _ in range(100)}
    assert len(seeds) == 100
    assert {len(seed) for seed in seeds} == {SEED_BYTES}
