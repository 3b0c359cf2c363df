"""A stream pays for what its publisher makes it cost, and its neighbours do not."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edge.contract.gen import worker_pb2
from edge.policy import CategoryPolicy, DecodingPolicy, MatchPolicy, Policy, TierPolicy
from edge.workers.decoding_budget import DecodingBudget, Standing
from tests.workers.simulated import START_MS, Message, media, play, pushed

POLICY = DecodingPolicy(share=0.5, window_ms=4000, limit_ms=10_000)
TICK_MS = 250.0
jobs = st.lists(st.tuples(st.floats(0, 400), st.floats(0, 2000)), max_size=60)
"""Cost of a job, and the pause after it."""


@given(jobs, st.floats(0.05, 1.0))
def test_no_work_costs_more_than_its_share_and_what_it_may_owe(
    work: list[tuple[float, float]], share: float
) -> None:
    """Whatever the jobs cost: those that may begin take no more than was earned, and one job."""
    budget = DecodingBudget(DecodingPolicy(share=share, window_ms=4000))
    now_ms = spent_ms = 0.0
    for cost_ms, pause_ms in work:
        if budget.may_begin(now_ms):
            now_ms += cost_ms
            spent_ms += cost_ms
            budget.spend(cost_ms, now_ms)
        assert spent_ms <= share * (now_ms + 4000) + 400
        now_ms += pause_ms


@given(st.floats(1, 60), st.floats(20, 2000))
def test_a_stream_within_its_share_is_never_sampled_less(cost_ms: float, pause_ms: float) -> None:
    budget = DecodingBudget(POLICY)
    now_ms = 0.0
    share = cost_ms / (cost_ms + pause_ms)
    for _ in range(300):
        if share < POLICY.share:
            assert budget.may_begin(now_ms)
            assert budget.assess(now_ms, blind=True) is Standing.WITHIN
        now_ms += cost_ms
        budget.spend(cost_ms, now_ms, 250)
        now_ms += pause_ms


def test_one_that_costs_more_is_over_until_it_has_earned_a_quarter() -> None:
    budget = DecodingBudget(POLICY)
    budget.spend(2100, 0.0)
    assert budget.over
    assert not budget.may_begin(0.0)
    assert budget.may_finish(0.0)
    assert budget.assess(100.0, blind=False) is Standing.OVER
    assert budget.may_begin(200.0)
    assert budget.assess(1100.0, blind=False) is Standing.OVER
    assert budget.assess(1300.0, blind=False) is Standing.WITHIN


def test_opportunistic_work_takes_half_of_what_is_left() -> None:
    budget = DecodingBudget(POLICY)
    budget.spend(900, 0.0)
    assert not budget.is_low(0.0)
    budget.spend(200, 0.0)
    assert budget.is_low(0.0)
    assert budget.may_begin(0.0)


def test_two_jobs_longer_than_the_latency_budget_put_it_over() -> None:
    """Nothing else runs during a job: their mean may be small, and neighbours lose their samples."""
    budget = DecodingBudget(POLICY)
    budget.spend(300, 0.0, 250)
    assert not budget.over
    budget.spend(300, 3000.0, 250)
    assert budget.over


def test_one_of_which_next_to_nothing_can_be_judged_is_unpayable() -> None:
    budget = DecodingBudget(POLICY)
    now_ms = 0.0
    standings = []
    while now_ms < 12_000:
        budget.spend(2 * TICK_MS, now_ms)
        standings.append(budget.assess(now_ms, blind=now_ms > 1000))
        now_ms += TICK_MS
    assert Standing.UNPAYABLE not in standings[: int(10_000 / TICK_MS)]
    assert standings[-1] is Standing.UNPAYABLE


@given(st.floats(1000, 7000))
def test_a_sample_now_and_then_does_not_hide_that_it_is_unpayable(seen_ms: float) -> None:
    """Blind for nine seconds of ten, and for so long over its budget."""
    budget = DecodingBudget(POLICY)
    standing, now_ms = Standing.WITHIN, 0.0
    while standing is not Standing.UNPAYABLE:
        budget.spend(TICK_MS, now_ms)
        standing = budget.assess(now_ms, blind=now_ms % 10_000 > min(seen_ms, 5000))
        now_ms += TICK_MS
        assert now_ms < 60_000


def test_a_worker_that_has_no_time_makes_no_ordinary_stream_unpayable() -> None:
    budget = DecodingBudget(POLICY)
    for number in range(400):
        budget.spend(10, number * TICK_MS)
        assert budget.assess(number * TICK_MS, blind=True) is Standing.WITHIN


def test_the_worker_for_heavy_streams_gives_more_and_sends_light_ones_back() -> None:
    budget = DecodingBudget(POLICY, heavy=True)
    budget.share_with(1)
    now_ms = 0.0
    for _ in range(100):  # 80 % of a core
        now_ms += TICK_MS
        budget.spend(200, now_ms)
        assert budget.assess(now_ms, blind=False) is Standing.WITHIN
    budget.share_with(3)
    for _ in range(30):
        now_ms += TICK_MS
        budget.spend(200, now_ms)
    assert budget.assess(now_ms, blind=False) is Standing.OVER
    calm_ms = now_ms
    while budget.assess(now_ms, blind=False) is not Standing.LIGHT:
        now_ms += TICK_MS
        budget.spend(20, now_ms)
    assert 60_000 <= now_ms - calm_ms < 100_000


CALM = Policy(
    match=MatchPolicy(enabled=False),
    categories={"fight": CategoryPolicy(release_at=1, raise_at=1, flag_at=1, cut_at=1)},
    tiers=TierPolicy(start_alert_ms=0, bitrate_jump=0.0),
)
COSTLY = 6
SECONDS = 10
SETTLED_MS = 3000


def beside_a_costly_stream(
    frame_ms: float, decoding: DecodingPolicy
) -> tuple[list[int], list[str], Counter[str]]:
    """Six calm streams beside one in alert whose every frame costs ``frame_ms``, in one worker.

    Returns how many samples of each calm one were judged from ``SETTLED_MS`` on, how the costly one stood,
    and what was not judged of it.
    """
    messages: list[Message] = []
    for number in range(COSTLY + 1):
        ident, phase_ms = f"st{number}", 140 * number
        policy = CALM.model_copy(update={"decoding": decoding})
        opening = worker_pb2.OpenPush(
            stream_id=ident, codec="h264", policy_json=policy.model_dump_json(), alert=number == COSTLY
        )
        messages.append((START_MS, worker_pb2.ToWorker(open_push=opening)))
        messages += [
            (START_MS + 1 + unit.dts_ms + phase_ms, pushed(ident, unit, phase_ms))
            for unit in media(SECONDS).units
        ]
    events, _ = play(messages[::-1], 5.0, frame_ms={f"st{COSTLY}": frame_ms})
    judged = [0] * COSTLY
    standings: list[str] = []
    lost: Counter[str] = Counter()
    for _, event in events:
        match event.WhichOneof("event"):
            case "judged" if event.judged.stream_id != f"st{COSTLY}":
                judged[int(event.judged.stream_id[2:])] += event.judged.verdict.pts_ms >= SETTLED_MS
            case "budget":
                assert event.budget.stream_id == f"st{COSTLY}"
                standings.append(event.budget.standing)
            case "notice" if event.notice.stream_id == f"st{COSTLY}":
                lost[event.notice.degraded.reason] += event.notice.degraded.count
    return judged, standings, lost


def test_neighbours_keep_their_samples_beside_a_stream_that_costs_too_much() -> None:
    unbounded, standings, _ = beside_a_costly_stream(90, DecodingPolicy(share=1.0, window_ms=600_000))
    assert not standings
    assert sum(unbounded) < 0.5 * COSTLY * (SECONDS - 3), "without a budget it takes the worker from them"
    kept, standings, lost = beside_a_costly_stream(90, DecodingPolicy())
    assert sum(kept) >= 0.95 * COSTLY * (SECONDS - 3)
    assert standings[0] == "over"
    assert lost["over_budget"]


def test_a_stream_of_which_nothing_can_be_judged_is_reported_as_unpayable_once() -> None:
    _, standings, _ = beside_a_costly_stream(400, DecodingPolicy(limit_ms=3000))
    assert standings[0] == "over"
    assert standings.count("unpayable") == 1
