"""Gates that hear of each other in any order come to one bank, and a withdrawal wins. Pure."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.fleet_banks.model import ModelBank, ModelGate, apply

GATES = 4
gates = st.integers(0, GATES - 1)
entries = st.sampled_from("abc")
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "withdraw", "mark", "label", "round"]), gates, entries, st.integers(0, 3)
    ),
    max_size=60,
)


def play(fleet: list[ModelGate], log: list[Any], what: str, gate: int, entry: str, value: int) -> None:
    if what == "round":
        fleet[gate].round(log)
    else:
        apply(fleet[gate].here, what, entry, value)


def in_step(fleet: list[ModelGate], log: list[Any]) -> ModelBank:
    for _ in range(2):
        for gate in fleet:
            gate.round(log)
    source = ModelBank()
    for change in log:
        apply(source, *change)
    for gate in fleet:
        assert gate.here == gate.common == source
    return source


@given(steps)
def test_any_interleaving_comes_to_what_the_log_says(taken: list[tuple[str, int, str, int]]) -> None:
    fleet, log = [ModelGate() for _ in range(GATES)], list[Any]()
    for step in taken:
        play(fleet, log, *step)
    end = in_step(fleet, log)
    new = ModelGate()
    new.round(log)
    assert new.here == end


@given(steps, st.permutations(range(GATES)), gates, entries, st.integers(4, 9))
def test_a_withdrawal_wins_over_what_others_add_without_knowing_of_it(
    before: list[tuple[str, int, str, int]], order: list[int], withdraws: int, entry: str, content: int
) -> None:
    fleet, log = [ModelGate() for _ in range(GATES)], list[Any]()
    for step in before:
        play(fleet, log, *step)
    in_step(fleet, log)
    apply(fleet[0].here, "add", entry, 1)
    in_step(fleet, log)
    for gate in fleet:
        apply(gate.here, "add", entry, content)
    apply(fleet[withdraws].here, "withdraw", entry, 0)
    for number in order:
        fleet[number].round(log)
    assert entry not in in_step(fleet, log).entries


@given(steps, gates, gates, entries, st.integers(4, 9))
def test_an_addition_of_who_knows_of_the_withdrawal_stands(
    before: list[tuple[str, int, str, int]], withdraws: int, adds: int, entry: str, content: int
) -> None:
    fleet, log = [ModelGate() for _ in range(GATES)], list[Any]()
    for step in before:
        play(fleet, log, *step)
    in_step(fleet, log)
    apply(fleet[withdraws].here, "withdraw", entry, 0)
    in_step(fleet, log)
    apply(fleet[adds].here, "add", entry, content)
    assert in_step(fleet, log).entries[entry] == content


@given(steps, st.lists(entries, unique=True))
def test_additions_of_all_sides_stay(before: list[tuple[str, int, str, int]], added: list[str]) -> None:
    fleet, log = [ModelGate() for _ in range(GATES)], list[Any]()
    for step in before:
        play(fleet, log, *step)
    in_step(fleet, log)
    for number, entry in enumerate(added):
        apply(fleet[number % GATES].here, "add", f"{entry}{number}", number)
    assert {f"{entry}{number}" for number, entry in enumerate(added)} <= in_step(fleet, log).entries.keys()
