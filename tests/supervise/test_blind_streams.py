"""The policy decides on a running stream of which nothing is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.gen import (
    gate_pb2,
    worker_pb2,
)
from edge.domain import Action
from edge.policy import FailureMode, FailurePolicy, Mode, Policy
from edge.telemetry.records import FailureModeUsed
from tests.supervise.gate_without_workers import Bench, gate_without_workers


def blind(bench: Bench, stream_id: str) -> None:
    notice = worker_pb2.Notice(stream_id=stream_id, degraded=gate_pb2.Degraded(reason="blind", count=1))
    bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(notice=notice))


def times_failed(bench: Bench, mode: FailureMode) -> int:
    return bench.recorded.of(FailureModeUsed).count(FailureModeUsed("on_gate_degraded", mode.value))


@pytest.mark.parametrize("mode", [FailureMode.ALLOW, FailureMode.DENY])
@pytest.mark.parametrize("judged", [False, True])
async def test_a_stream_that_was_never_judged_is_one_that_the_gate_cannot_watch(
    tmp_path: Path, mode: FailureMode, judged: bool
) -> None:
    policy = Policy(failure=FailurePolicy(on_gate_degraded=mode))
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id = await bench.watched()
        if judged:
            bench.judged(stream_id, Action.PASS)
        blind(bench, stream_id)
        failed = not judged
        assert times_failed(bench, mode) == failed
        stream = bench.gate.registry.get(stream_id)
        assert stream.cutting == (failed and mode is FailureMode.DENY)
        if stream.cutting:
            await bench.until(lambda: bench.server.asked)
        bench.server.gone = True


async def test_what_another_worker_has_judged_does_not_count(tmp_path: Path) -> None:
    policy = Policy(failure=FailurePolicy(on_gate_degraded=FailureMode.DENY))
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id = await bench.watched()
        bench.judged(stream_id, Action.PASS)
        bench.gate._worker_events.on_streams_lost((stream_id,), None)
        await bench.until(lambda: bench.workers.sent_to(stream_id).count("open_push") == 2)
        blind(bench, stream_id)
        assert bench.gate.registry.get(stream_id).cutting
        bench.server.gone = True


@pytest.mark.parametrize(
    ("policy", "cut", "failed"),
    [
        (Policy(failure=FailurePolicy(on_blind=Action.CUT)), True, 0),
        (Policy(mode=Mode.SHADOW, failure=FailurePolicy(on_gate_degraded=FailureMode.DENY)), False, 1),
    ],
    ids=["on-blind", "shadow"],
)
async def test_a_stream_is_cut_once_and_not_in_shadow_mode(
    tmp_path: Path, policy: Policy, cut: bool, failed: int
) -> None:
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id = await bench.watched()
        blind(bench, stream_id)
        assert bench.gate.registry.get(stream_id).cutting == cut
        assert times_failed(bench, policy.failure.on_gate_degraded) == failed
        bench.server.gone = True
