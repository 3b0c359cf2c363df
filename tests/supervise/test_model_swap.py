"""The cost limit of a model that replaces another."""

from __future__ import annotations

import pytest

from edge.supervise.model_swap import over_budget


@pytest.mark.parametrize(
    ("cost", "budget", "in_force", "refused"),
    [
        (5.9, 0.0, 0.0, False),
        (9.0, 0.0, 8.9, False),  # As slow as the model that it replaces, on a slow machine.
        (9.0, 0.0, 6.5, True),
        (9.0, 10.0, 0.0, False),
        (9.0, 8.0, 20.0, True),  # An explicit budget counts, whatever is in force.
    ],
)
def test_budget_of_a_swap(cost: float, budget: float, in_force: float, refused: bool) -> None:
    assert bool(over_budget(cost, budget, in_force)) == refused


def test_a_refusal_names_what_it_was_measured_against() -> None:
    assert over_budget(9.0, 0.0, 6.5) == (
        "9 ms a sample is over the budget of 6 ms; the one in force costs 6.5 here"
    )
