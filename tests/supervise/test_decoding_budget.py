"""A stream over its share gets a worker of its own kind. Policy ends it where that is too little."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.gen import worker_pb2
from edge.domain import Action, StreamId
from edge.policy import DecodingPolicy, Mode, Policy
from edge.telemetry.records import FailureModeUsed, StreamMoved, WatchingFailed
from tests.supervise.gate_without_workers import Bench, gate_without_workers


def report(bench: Bench, stream_id: str, standing: str, opening: int | None = None) -> None:
    stream = bench.gate.registry.get(StreamId(stream_id))
    said = worker_pb2.BudgetReport(
        stream_id=stream_id,
        opening=stream.opening if opening is None else opening,
        standing=standing,
        share=0.8,
    )
    bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(budget=said))


def openings(bench: Bench, stream_id: str) -> list[bool]:
    """Whether the worker of each opening was the one for heavy streams."""
    commands = [command for to, command in bench.workers.sent if to == stream_id]
    return [command.open_push.heavy for command in commands if command.HasField("open_push")]


async def test_a_stream_over_its_share_is_moved_and_comes_back_when_it_is_light(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        bench.workers.heavy_up = False
        report(bench, stream_id, "over")
        assert openings(bench, stream_id) == [False]
        bench.workers.heavy_up = True
        report(bench, stream_id, "over")
        assert bench.workers.sent_to(stream_id)[-2:] == ["close", "open_push"]
        report(bench, stream_id, "over", opening=1)
        report(bench, stream_id, "within")
        assert openings(bench, stream_id) == [False, True]
        report(bench, stream_id, "light")
        assert openings(bench, stream_id) == [False, True, False]
        for _ in range(5):
            report(bench, stream_id, "over")
            report(bench, stream_id, "light")
        assert openings(bench, stream_id) == [False, True, False, True, False, True]
        assert [moved.heavy for moved in bench.recorded.of(StreamMoved)] == [True, False, True, False, True]


@pytest.mark.parametrize("mode", list(Mode))
async def test_one_that_cannot_be_watched_for_its_cost_ends_without_a_strike(
    tmp_path: Path, mode: Mode
) -> None:
    async with gate_without_workers(tmp_path, Policy(mode=mode)) as bench:
        stream_id = await bench.watched()
        report(bench, stream_id, "unpayable")
        assert bench.gate.registry.get(stream_id).cutting is (mode is not Mode.SHADOW)
        await bench.until(lambda: bench.ledger.incidents())
        [incident] = bench.ledger.incidents()
        assert (incident.verdict.action, incident.verdict.reason) == (Action.CUT, "unwatchable")
        [signal] = incident.verdict.signals
        assert signal.category == "over_budget"
        assert "decoding.share" in signal.detail
        assert not bench.ledger.strikes_of("anna")
        assert not bench.recorded.of(FailureModeUsed)
        bench.server.gone = True


@pytest.mark.parametrize("action", [Action.PASS, Action.FLAG])
async def test_policy_may_let_it_run(tmp_path: Path, action: Action) -> None:
    policy = Policy(decoding=DecodingPolicy(action=action))
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id = await bench.watched()
        report(bench, stream_id, "unpayable")
        if action is Action.FLAG:
            await bench.until(lambda: bench.ledger.incidents())
        assert [one.verdict.action for one in bench.ledger.incidents()] == [Action.FLAG] * (
            action is Action.FLAG
        )
        assert len(bench.recorded.of(WatchingFailed)) == (action is Action.FLAG)
        assert not bench.gate.registry.get(stream_id).cutting
