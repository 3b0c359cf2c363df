"""Earliest deadline first, in order of arrival for equal ones. Dropping a key drops all of its jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.workers.deadline_queue import DeadlineQueue

Jobs = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=40)


@given(Jobs)
def test_jobs_leave_by_deadline_then_arrival(jobs: list[tuple[str, int]]) -> None:
    queue: DeadlineQueue[int] = DeadlineQueue()
    for index, (key, deadline) in enumerate(jobs):
        queue.push(key, deadline, index)
    left = []
    while (job := queue.pop()) is not None:
        left.append((job[1], job[2]))
    assert left == sorted((float(deadline), index) for index, (_, deadline) in enumerate(jobs))


@given(Jobs, st.sampled_from("abc"))
def test_dropping_a_key_leaves_the_others(jobs: list[tuple[str, int]], key: str) -> None:
    queue: DeadlineQueue[int] = DeadlineQueue()
    for index, (owner, deadline) in enumerate(jobs):
        queue.push(owner, deadline, index)
    assert queue.drop(key) == sum(owner == key for owner, _ in jobs)
    kept = set()
    while (job := queue.pop()) is not None:
        kept.add(job[2])
    assert kept == {index for index, (owner, _) in enumerate(jobs) if owner != key}
