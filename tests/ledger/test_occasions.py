"""One occasion is one step of the ladder, whatever the streams, gates, journals and their order."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain import PERMANENT_MS, Incident, IncidentState, Severity, Strike
from edge.ladder import CLOCKS_APART_MS, Sanction, block_until, by_occasion
from edge.ledger import DurableLedger, make_violation
from edge.ledger.journal import Journal
from edge.ledger.journal_entries import Violated, decode, encode
from edge.ledger.proof import PROVEN_TABLES, Prover
from edge.policy import DAY_MS, LadderPolicy, Policy, ReviewPolicy, UnreviewedOutcome
from tests.ledger.conftest import NOW, _make

if TYPE_CHECKING:
    from tests.postgresql import Store

SANCTION = Sanction(review=ReviewPolicy(detector=UnreviewedOutcome.STAND))
LADDER = LadderPolicy()
FIRST, SECOND = 30 * DAY_MS, 180 * DAY_MS


def violation(admitted_ms: int, decided_ms: int, broadcaster: str = "anna") -> Incident:
    incident = _make(broadcaster, created_ms=NOW + decided_ms)
    return dataclasses.replace(incident, admitted_ms=NOW + admitted_ms)


def strike(number: int, admitted_ms: int | None, decided_ms: int, gate: str = "") -> Strike:
    admitted = None if admitted_ms is None else NOW + admitted_ms
    created = NOW + decided_ms
    return Strike(f"sk_{number}", "anna", "live", "fight", "in", created, admitted_ms=admitted, gate=gate)


def counting(strikes: list[Strike]) -> list[str]:
    return [each.id for each, part_of in by_occasion(strikes, LADDER) if part_of is None]


def term_ms(incident: Incident, ledger: DurableLedger) -> int:
    return max(block.until_ms for block in ledger.case(incident.id).blocks) - incident.created_ms


def assert_proven(ledger: DurableLedger, store: Store) -> None:
    prover = Prover()
    list(prover.entries(ledger.audit_rows()))
    with store.engine.connect() as connection:
        for table in PROVEN_TABLES:
            for row in connection.execute(sa.select(table)).mappings():
                prover.row(table, dict(row))
    proof = prover.finish()
    assert proof.ok, proof.findings


# pure


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=7)


def most_one_after_another(strikes: list[tuple[int, int]]) -> int:
    """The largest number of violations of which each stream was admitted after the decision before it."""
    best: dict[int, int] = {}
    for begin, end in sorted(strikes, key=lambda span: span[1]):
        before = max((count for until, count in best.items() if until < begin), default=0)
        best[end] = max(best.get(end, 0), before + 1)
    return max(best.values())


@given(spans, st.randoms(use_true_random=False))
def test_the_occasions_are_the_most_violations_one_after_another(
    drawn: list[tuple[int, int]], source: object
) -> None:
    strikes = [strike(number, *span) for number, span in enumerate(drawn)]
    expected = most_one_after_another([(min(span), max(span)) for span in drawn])
    assert len(counting(strikes)) == expected
    shuffled = list(strikes)
    source.shuffle(shuffled)  # type: ignore[attr-defined]
    assert counting(shuffled) == counting(strikes)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8))
def test_streams_admitted_before_the_first_decision_are_one_step(decided: list[int]) -> None:
    strikes = [strike(number, -number, ms) for number, ms in enumerate(decided)]
    for each in strikes:
        others = [other for other in strikes if other is not each]
        assert block_until(others, each, LADDER) == each.created_ms + FIRST


def test_a_stream_admitted_after_the_decision_is_another_occasion() -> None:
    assert counting([strike(1, 0, 10), strike(2, 10, 20)]) == ["sk_1"]
    assert counting([strike(1, 0, 10), strike(2, 11, 20)]) == ["sk_1", "sk_2"]


def test_a_second_more_is_allowed_between_the_clocks_of_two_gates() -> None:
    late = 10 + CLOCKS_APART_MS
    assert counting([strike(1, 0, 10, "a"), strike(2, late, 5000, "b")]) == ["sk_1"]
    assert counting([strike(1, 0, 10, "a"), strike(2, late + 1, 5000, "b")]) == ["sk_1", "sk_2"]
    assert counting([strike(1, 0, 10, "a"), strike(2, late, 5000, "a")]) == ["sk_1", "sk_2"]


def test_a_clock_set_back_while_the_streams_were_live_makes_no_second_occasion() -> None:
    hour = 3_600_000
    assert len(counting([strike(1, -hour, 10), strike(2, -hour // 2, -hour - 5)])) == 1


def test_a_strike_without_a_time_of_admission_counts_by_itself() -> None:
    assert counting([strike(1, None, 10), strike(2, None, 10), strike(3, 0, 20)]) == ["sk_1", "sk_2"]


def test_a_severe_part_weighs_on_what_comes_later() -> None:
    severe = dataclasses.replace(strike(2, 0, 12), severity=Severity.SEVERE)
    assert block_until([strike(1, 0, 10), severe], strike(3, 20, 30), LADDER) == PERMANENT_MS


def test_categories_that_count_apart_are_a_step_each() -> None:
    apart = LadderPolicy(per_category=True)
    gore = dataclasses.replace(strike(2, 0, 12), category="gore")
    assert [part_of for _, part_of in by_occasion([strike(1, 0, 10), gore], apart)] == [None, None]
    assert block_until([strike(1, 0, 10)], gore, apart) == gore.created_ms + FIRST


# ledger


def test_four_streams_at_once_are_one_strike_and_the_next_occasion_is_the_second(store: Store) -> None:
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    together = [violation(number, 100 + number) for number in range(4)]
    made = [ledger.record_violation(incident, SANCTION, NOW) for incident in together]
    assert [each.strike.part_of for each in made] == [None, *[made[0].strike.id] * 3]
    assert [term_ms(incident, ledger) for incident in together] == [FIRST] * 4
    assert [each.id for each in ledger.strikes_of("anna")] == [made[0].strike.id]
    assert [each.id for each in ledger.strikes(broadcaster="anna")] == [made[0].strike.id]
    shown = ledger.case(together[3].id)
    assert shown.incident.admitted_ms == NOW + 3
    assert shown.strike is not None
    assert shown.strike.part_of == made[0].strike.id
    later = violation(1000, 1100)
    assert ledger.record_violation(later, SANCTION, NOW).strike.part_of is None
    assert term_ms(later, ledger) == SECOND
    assert_proven(ledger, store)
    ledger.close()


def test_what_is_overturned_leaves_its_place_to_the_next_of_the_occasion(store: Store) -> None:
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    first, second, third = (violation(number, 100 + number) for number in range(3))
    made = [ledger.record_violation(incident, SANCTION, NOW) for incident in (first, second, third)]
    later = violation(1000, 1100)
    ledger.record_violation(later, SANCTION, NOW)
    policy, when = Policy(review=SANCTION.review), NOW + 2000

    def overturn(incident: Incident) -> None:
        ledger.review(incident.id, IncidentState.OVERTURNED, "no fight", "rita", when, policy)

    overturn(first)
    assert made[1].strike.id in [each.id for each in ledger.strikes(include_pardoned=False)]
    still = ledger.case(third.id)
    assert still.strike is not None
    assert still.strike.part_of == made[1].strike.id
    assert all(block.active_at(when) for block in still.blocks)
    assert term_ms(later, ledger) == SECOND
    overturn(third)
    assert len(ledger.strikes(include_pardoned=False)) == 2
    overturn(second)
    assert len(ledger.strikes(include_pardoned=False)) == 1
    assert term_ms(later, ledger) == FIRST
    assert_proven(ledger, store)
    ledger.close()


def test_a_journal_brings_home_what_belongs_to_an_occasion_of_the_ledger(store: Store) -> None:
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    early, here, also = violation(0, 50), violation(1, 100), violation(2, 110)
    counted = ledger.record_violation(here, SANCTION, NOW).strike
    with store.locked():
        assert ledger.record_violation(early, SANCTION, NOW).durable_in == "journal"
        assert ledger.record_violation(also, SANCTION, NOW).durable_in == "journal"
    ledger.reconcile()
    (counting_now,) = ledger.strikes_of("anna")
    assert counting_now.incident_id == early.id
    assert {ledger.case(each.id).strike.part_of for each in (here, also)} == {  # type: ignore[union-attr]
        counting_now.id
    }
    assert counted.id != counting_now.id
    assert {term_ms(incident, ledger) for incident in (early, here, also)} == {FIRST}
    assert_proven(ledger, store)
    ledger.close()


def test_a_line_of_an_earlier_version_counts_by_itself(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl"
    ledger = DurableLedger.open(url, path)
    ledger.record_violation(violation(0, 100), SANCTION, NOW)
    old = _make(created_ms=NOW + 110)
    Journal(path).append(Violated(make_violation(old, SANCTION, (), NOW), SANCTION))
    ledger.reconcile()
    assert len(ledger.strikes_of("anna")) == 2
    assert term_ms(old, ledger) == SECOND
    ledger.close()


def test_the_journal_keeps_when_the_stream_was_admitted() -> None:
    entry = Violated(make_violation(violation(3, 100), SANCTION, (), NOW, "gate-a"), SANCTION)
    again = decode(encode(entry))
    assert isinstance(again, Violated)
    assert again.violation.incident.admitted_ms == again.violation.strike.admitted_ms == NOW + 3
    assert again.violation.strike.gate == "gate-a"


decisions = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from(["a", "b"]), st.booleans()),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DurableLedger]]:
    folder = tmp_path_factory.mktemp("gates")
    url = f"sqlite:///{folder / 'edge.db'}"
    opened = {gate: DurableLedger.open(url, folder / f"{gate}.jsonl", gate=gate) for gate in "ab"}
    yield opened
    for ledger in opened.values():
        ledger.close()


numbers = itertools.count()


@settings(max_examples=40, deadline=None)
@given(drawn=decisions, a_first=st.booleans())
def test_gates_and_journals_in_any_order_climb_one_step_an_occasion(
    gates: dict[str, DurableLedger], drawn: list[tuple[int, int, str, bool]], a_first: bool
) -> None:
    """Each decision is taken on one of two gates, in the ledger or in the gate's journal."""
    broadcaster = f"anna{next(numbers)}"
    # Times far apart beside what is allowed between the clocks of two gates.
    spans = [(min(each[:2]) * 10_000, max(each[:2]) * 10_000) for each in drawn]
    decided = [violation(*span, broadcaster=broadcaster) for span in spans]
    for incident, (_, _, gate, away) in zip(decided, drawn, strict=True):
        record = gates[gate]._record_in_journal if away else gates[gate].record_violation
        record(incident, SANCTION, NOW)
    for gate in "ab" if a_first else "ba":
        gates[gate].reconcile()
    occasions = most_one_after_another(spans)
    ledger = gates["a"]
    assert len(ledger.strikes_of(broadcaster)) == occasions
    longest = max(term_ms(incident, ledger) for incident in decided)
    if occasions < 3:
        assert longest == (FIRST, SECOND)[occasions - 1]
    else:
        assert longest > DAY_MS * 36500


@pytest.mark.parametrize("a_first", [True, False])
def test_two_gates_that_were_cut_off_count_one_occasion_once(store: Store, a_first: bool) -> None:
    folder = store.journal.parent
    gates = [
        DurableLedger.open(store.url, folder / f"{name}.jsonl", gate=name, busy_timeout_ms=1500)
        for name in ("a", "b")
    ]
    with store.locked():
        for number, gate in enumerate(gates * 2):
            gate.record_violation(violation(number, 100 + number), SANCTION, NOW)
    for gate in gates if a_first else reversed(gates):
        gate.reconcile()
    (counted,) = gates[0].strikes_of("anna")
    assert counted.created_ms == NOW + 100
    assert {block.until_ms - block.created_ms for block in gates[0].active_blocks(NOW)} == {FIRST}
    for gate in gates:
        gate.close()
