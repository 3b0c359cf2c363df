"""Names that look alike have one skeleton."""

from __future__ import annotations

import pytest

from edge.confusables import skeleton


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("victim", "vіctіm"),  # Cyrillic і
        ("victim", "ｖictim"),
        ("victim", "νictim"),  # Greek nu
        ("victim", "victirn"),
        ("victim", "ⅴⅰctⅰⅿ"),
        ("victim", "Victim"),
        ("Ion", "lon"),
        ("Ion", "1on"),
        ("paypal", "раураl"),  # Cyrillic р, а, у
        ("O0", "OO"),
    ],
)
def test_alike(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"), [("victim", "victor"), ("anna", "hanna"), ("محمد", "احمد"), ("", "a")]
)
def test_not_alike(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)
