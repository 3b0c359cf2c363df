"""A gate puts in force what the ledger says of crises, and ends them at their time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edge.clock import ManualClock
from edge.crisis import Crisis, CrisisState
from edge.errors import InvalidInput, PermissionRefused
from edge.match.bank.bank import Bank
from edge.match.entry import BankPurpose
from edge.policy import Patch, Policy
from edge.supervise.crisis_desk import KEPT
from edge.telemetry.records import CrisesInForce, CrisisChanged
from tests.crisis.crises import HOUR_MS, NOW, crisis
from tests.supervise.gate_without_workers import Bench, gate_without_workers

PATCH: Patch = {"looks": {"crisis": True}, "categories": {"fight": {"cut_at": 0.3}}}


def told(bench: Bench, stream_id: str) -> list[Policy]:
    """What the stream's worker was told, oldest first."""
    return [
        Policy.model_validate_json(sent.set_policy.policy_json)
        for stream, sent in bench.workers.sent
        if stream == stream_id and sent.WhichOneof("command") == "set_policy"
    ]


async def take(bench: Bench, *crises: Crisis) -> None:
    telling = bench.gate.crises.take(crises)
    if telling is not None:
        await telling


async def test_live_streams_get_the_stricter_policy_and_lose_it(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, clock=ManualClock()) as bench:
        stream_id = await bench.watched()
        await take(bench, crisis(patch=PATCH))
        await take(bench, crisis(patch=PATCH))
        (stricter,) = told(bench, stream_id)
        assert (stricter.looks.crisis, stricter.categories["fight"].cut_at) == (True, 0.3)
        await bench.gate.actions.set_policy(bench.gate.policy, "rita", "", 0)
        assert told(bench, stream_id)[-1].looks.crisis
        await take(bench)
        assert told(bench, stream_id)[-1] == bench.gate.policy.for_app("live")
        assert [one.real for one in bench.recorded.of(CrisesInForce)] == [1, 0]
        assert [one.state for one in bench.recorded.of(CrisisChanged)] == ["in_force", "ended"]


async def test_a_crisis_is_for_its_apps_and_a_proposed_one_for_none(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, clock=ManualClock()) as bench:
        stream_id = await bench.watched()
        await take(bench, crisis(patch=PATCH, state=CrisisState.PROPOSED))
        assert told(bench, stream_id) == []
        await take(bench, crisis(patch=PATCH, apps=("game*",)))
        assert not told(bench, stream_id)[-1].looks.crisis
        await take(bench, crisis(patch=PATCH, apps=("game*", "liv?")))
        assert told(bench, stream_id)[-1].looks.crisis


async def test_its_time_ends_it_although_the_clock_is_set_back(tmp_path: Path) -> None:
    clock = ManualClock()
    async with gate_without_workers(tmp_path, clock=clock) as bench:
        desk, ledger = bench.gate.crises, bench.ledger
        ledger.declare_crisis(crisis(patch=PATCH))
        await desk.start()
        assert len(desk.in_force) == 1
        clock.advance_ms(5 * HOUR_MS)
        await desk.look()
        assert json.loads((tmp_path / KEPT).read_text()) == {"in_force attack": HOUR_MS}
        clock.now_wall_ms -= 5 * HOUR_MS
        await desk.start()  # as after a restart
        assert len(desk.in_force) == 1
        clock.advance_ms(HOUR_MS)
        await desk.look()
        assert not desk.in_force
        over = ledger.crisis("attack")
        assert (over.state, over.ended_by) == (CrisisState.ENDED, "gate")


async def test_its_end_waits_for_the_ledger_and_its_policy_does_not(tmp_path: Path) -> None:
    clock = ManualClock()
    async with gate_without_workers(tmp_path, clock=clock) as bench:
        bench.ledger.declare_crisis(crisis(patch=PATCH))
        await bench.gate.crises.start()
        clock.advance_ms(6 * HOUR_MS)
        bench.gate.executor.news_away(True)
        await bench.gate.crises.look()
        assert not bench.gate.crises.in_force
        assert bench.ledger.crisis("attack").state is CrisisState.IN_FORCE
        bench.gate.executor.news_away(False)
        await bench.gate.crises.look()
        assert bench.ledger.crisis("attack").state is CrisisState.ENDED


async def test_two_people_and_the_bank(tmp_path: Path) -> None:
    policy = Policy.model_validate({"crisis": {"two_people": True, "bank_after": "flag"}})
    async with gate_without_workers(tmp_path, policy, clock=ManualClock()) as bench:
        desk, bank = bench.gate.crises, tmp_path / "banks" / "crisis-attack"
        made = await desk.declare(crisis(state=CrisisState.PROPOSED))
        assert (made.state, desk.in_force) == (CrisisState.PROPOSED, ())
        assert not bank.with_suffix(".bank").exists()
        with pytest.raises(PermissionRefused):
            await desk.confirm("attack", "rita", "seen")
        await desk.confirm("attack", "omar", "seen")
        assert [one.name for one in desk.in_force] == ["attack"]
        await desk.ready_bank(bench.ledger.crisis("attack"))
        info = Bank.open(bank).info
        assert (info.opinion, info.runaway_streams) == (BankPurpose.VIOLATING, 0)
        await desk.end("attack", "omar", "the police say so")
        assert not desk.in_force
        assert Bank.open(bank).info.opinion is BankPurpose.INVESTIGATE


async def test_a_loosening_patch_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, clock=ManualClock()) as bench:
        loose = dataclasses.replace(crisis(), patch={"match": {"k": 9}})
        with pytest.raises(InvalidInput, match=r"patch\.match\.k"):
            await bench.gate.crises.declare(loose)
        assert bench.ledger.crises() == ()
        assert bench.gate.clock.wall_ms() == NOW
