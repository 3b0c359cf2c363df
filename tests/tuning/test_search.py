"""The promises of the search, on made-up footage of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import InvalidInput
from edge.policy import CategoryPolicy, TierPolicy
from edge.tuning.figures import Counts, counts
from edge.tuning.guarantee import Guarantee
from edge.tuning.search import Proposal, Search
from edge.tuning.simulate import Simulator
from edge.tuning.study import Study
from edge.tuning.tuning import Tuning, folds, tune
from tests.tuning.conftest import footage, manifest, track

SIMULATOR = Simulator(manifest(), "fight", TierPolicy(start_alert_ms=1000, alert_hold_ms=1000))
BASE = CategoryPolicy()
SLOW = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def study(seed: int, violent: int = 3, calm: int = 3, samples: int = 8, overlap: float = 0.3) -> Study:
    """Violent files score higher, with this much overlap."""
    random = np.random.default_rng(seed)

    def scores(centre: float) -> list[float]:
        level = random.normal(centre, overlap)
        return [float(value) for value in np.clip(random.normal(level, 0.15, samples), 0.001, 0.999)]

    return Study(
        SIMULATOR,
        [
            *((footage(f"v{i}", True), track(scores(0.75))) for i in range(violent)),
            *((footage(f"c{i}", False), track(scores(0.3))) for i in range(calm)),
        ],
    )


def choose(data: Study, promise: Guarantee, flag_recall: float = 0.9) -> tuple[Proposal, Counts]:
    found = Search(data, promise, flag_recall, BASE).choose(data.rows)
    return found, counts(data.outcomes(data.rows, found.part))


seeds = st.integers(0, 2**32 - 1)


@SLOW
@given(seeds, st.floats(0, 2000), st.floats(0, 2000), st.floats(0.5, 1), st.floats(0.5, 1))
def test_a_stricter_promise_never_gives_more_false_cuts(
    seed: int, rate: float, other: float, precision: float, another: float
) -> None:
    data = study(seed)
    for strict, lax in (
        (Guarantee(false_cuts_per_hour=min(rate, other)), Guarantee(false_cuts_per_hour=max(rate, other))),
        (Guarantee(precision=max(precision, another)), Guarantee(precision=min(precision, another))),
    ):
        (_, few), (_, many) = choose(data, strict), choose(data, lax)
        assert few.false_cuts <= many.false_cuts
        assert few.cut <= many.cut
        assert strict.kept_by(few)
        assert lax.kept_by(many)


@SLOW
@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_proposals_are_policies(seed: int, flag_recall: float, ratio: float) -> None:
    data = study(seed, overlap=0.6)
    base = CategoryPolicy(raise_at=0.4, release_at=0.4 * ratio)
    part = Search(data, Guarantee(), flag_recall, base).choose(data.rows).part
    assert 0 <= part.release_at <= part.raise_at <= part.flag_at <= part.cut_at <= 1
    assert CategoryPolicy.model_validate(part.model_dump()) == part
    assert part.release_at == pytest.approx(part.raise_at * ratio, abs=1e-3)


@SLOW
@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_more_recall_asked_for_is_given_where_it_can_be(seed: int, one: float, two: float) -> None:
    data = study(seed)
    (less, few), (more, many) = (choose(data, Guarantee(), wanted) for wanted in sorted((one, two)))
    if more.flag_recall_reached:
        assert less.flag_recall_reached
        # By dense sampling: a stream that becomes calm may miss late flags.
        assert (
            sum(
                value is not None and value >= more.part.flag_at
                for row in data.rows
                for value in data.flaggable(row, more.part.belief)
            )
            >= max(one, two) * many.events
        )
    assert few.events == many.events == 3


@SLOW
@given(seeds)
def test_nothing_better_keeps_the_promise(seed: int) -> None:
    """Tries every cut, without the shortcuts of the search."""
    data = study(seed, violent=2, calm=1)
    promise = Guarantee(false_cuts_per_hour=400)
    found, got = choose(data, promise)
    search = Search(data, promise, 0.9, BASE)
    for part in search.cuts(found.part)[::9]:
        fresh = Study(SIMULATOR, [(one.footage, one.track) for one in data.files])
        tried = counts(fresh.outcomes(fresh.rows, part))
        cut_only = counts(search.cut_outcomes(data.rows, part))
        assert (tried.cut, tried.false_cuts) == (cut_only.cut, cut_only.false_cuts)
        if promise.kept_by(tried):
            assert tried.cut <= got.cut


def run(data: Study, promise: Guarantee = Guarantee()) -> Tuning:  # noqa: B008
    return tune(data, promise, BASE, 0.9, lambda _: None)


def test_figures_are_of_footage_that_was_not_chosen_from() -> None:
    """Random scores: the fitted part looks good, the unseen part does not."""
    data = study(7, violent=8, calm=8, samples=8, overlap=0.0)
    noise = Study(
        SIMULATOR,
        [
            (footage(f"{'v' if index % 2 else 'c'}{index}", bool(index % 2)), one.track)
            for index, one in enumerate(data.files)
        ],
    )
    found = run(noise)
    assert found.unseen is not None
    assert found.fitted.counts.false_cuts == 0
    assert found.unseen.counts.false_cuts > 0
    assert len(found.folds) == 5
    assert [row for row, _ in found.outcomes] == list(noise.rows)


def test_folds_keep_groups_together_and_use_every_file_once() -> None:
    data = Study(
        SIMULATOR,
        [(footage(f"{i}", i % 3 == 0, group=f"g{i % 7}"), track([0.5] * 5)) for i in range(30)],
    )
    parts = folds(data)
    tested = sorted(row for _, test in parts for row in test)
    assert tested == list(range(30))
    for train, test in parts:
        assert not {data.files[row].footage.group for row in train} & {
            data.files[row].footage.group for row in test
        }


def test_one_group_is_too_few_to_check_on() -> None:
    data = Study(
        SIMULATOR,
        [
            (footage("v", True), track([0.9] * 10)),
            (footage("c1", False), track([0.1] * 10)),
            (footage("c2", False), track([0.1] * 10)),
        ],
    )
    found = run(data)
    assert found.unseen is None
    assert found.figures is found.fitted


@pytest.mark.parametrize(("violent", "missing"), [(True, "calm"), (False, "violent")])
def test_both_kinds_are_needed(violent: bool, missing: str) -> None:
    data = Study(SIMULATOR, [(footage("x", violent), track([0.5] * 5))])
    with pytest.raises(InvalidInput, match=f"no {missing} footage"):
        run(data)
