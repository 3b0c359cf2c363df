"""When a stream counts as blind: by what arrived, was judged and was lost."""

from __future__ import annotations

from typing import Any

from edge.domain import AccessUnit
from edge.policy import Policy
from edge.workers.worker_stream import WorkerStream

POLICY = Policy()
LIMIT_MS = POLICY.tiers.blind_limit_ms + POLICY.budget_ms
RUNS: Any = object()
"""A pipeline that is never called."""


def stream() -> WorkerStream:
    return WorkerStream("st", 1, POLICY, False, pipeline=RUNS)


def came(stream: WorkerStream, *times_ms: int) -> None:
    for time_ms in times_ms:
        stream.append(AccessUnit(time_ms, time_ms, False, b"x", arrival_ms=float(time_ms)))


def test_media_that_comes_and_is_not_judged() -> None:
    watched = stream()
    came(watched, 0, 100)
    watched.judged_at(150)
    came(watched, *range(200, 150 + LIMIT_MS + 1, 50))
    assert not watched.is_blind(150 + LIMIT_MS)
    came(watched, 150 + LIMIT_MS + 1)
    assert watched.is_blind(150 + LIMIT_MS + 1)
    watched.judged_at(150 + LIMIT_MS + 2)
    assert not watched.is_blind(150 + LIMIT_MS + 3)


def test_a_stream_that_only_paused_was_never_blind() -> None:
    watched = stream()
    came(watched, 0, 100)
    watched.judged_at(150)
    assert not watched.is_blind(60_000)
    came(watched, 60_000)
    assert not watched.is_blind(60_000)
    came(watched, *range(60_100, 60_000 + LIMIT_MS + 2, 50), 60_000 + LIMIT_MS + 1)
    assert watched.is_blind(60_000 + LIMIT_MS + 1)


def test_after_a_loss_time_stands_for_media_as_long_as_the_stream_ran_lately() -> None:
    watched = stream()
    came(watched, 0, 200)
    watched.judged_at(250)
    came(watched, 2000, 2200)
    watched.lost_ms = 0.0
    assert not watched.is_blind(250 + LIMIT_MS)
    assert watched.is_blind(250 + LIMIT_MS + 1)
    assert not watched.is_blind(2200 + POLICY.tiers.blind_limit_ms + 1), "nobody knows whether it goes on"
    came(watched, 8000)
    assert watched.is_blind(8000), "it went on, or paused; what was lost before is still not judged"


def test_a_stream_that_is_never_started_is_blind_like_any_other() -> None:
    """Its media is queued or shed, and no pipeline exists yet to judge it."""
    watched = WorkerStream("st", 1, POLICY, False, judged_ms=100.0)
    for time_ms in range(150, 100 + LIMIT_MS + 1, 50):
        came(watched, time_ms)
        watched.lost_ms = 0.0
    assert not watched.is_blind(100 + LIMIT_MS)
    assert watched.is_blind(100 + LIMIT_MS + 1)
