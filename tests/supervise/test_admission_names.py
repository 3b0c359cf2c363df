"""A blocked account does not return under an equal or lookalike name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge.domain import Block, Publish, Severity, SubjectKind
from edge.ledger import AdmissionView
from edge.ledger.block_index import row_of
from edge.policy import NameCase, NamesPolicy, Policy
from edge.reasons import AdmissionReason
from edge.telemetry.records import NameResembles
from tests.supervise.gate_without_workers import gate_without_workers
from tests.test_names import SAME

NOW = 1_000


def blocked(subject: str, kind: SubjectKind = SubjectKind.BROADCASTER) -> Block:
    return Block("bl_1", kind, subject, "", "test", "", 0, NOW + 1, None, "test")


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("turned", [False, True])
async def test_a_block_holds_for_every_spelling(tmp_path: Path, name: str, turned: bool) -> None:
    block_of, publisher = (name, "victim") if turned else ("victim", name)
    async with gate_without_workers(tmp_path) as bench:
        running = await bench.admit("1", "show", publisher)
        assert running.allowed
        await bench.gate.actions.add_block(SubjectKind.BROADCASTER, block_of, "", 60_000, "test", "test")
        assert bench.gate.registry.get(running.stream_id).cutting, "a running stream is cut too"
        answer = await bench.admit("2", "other", publisher)
        assert (answer.allowed, answer.reason) == (False, AdmissionReason.BLOCKED)
        assert (await bench.admit("3", "other", "another")).allowed


@pytest.mark.parametrize("stored", ["victim.", "ｖｉｃｔｉｍ", "victim "])
@pytest.mark.parametrize("loaded", [False, True])
def test_blocks_that_earlier_versions_stored_still_match(stored: str, loaded: bool) -> None:
    view = AdmissionView()
    if loaded:
        view.load_rows([row_of(blocked(stored))])
    else:
        view.add_block(blocked(stored))
    for name in ("victim", stored):
        found = view.check(Publish("s", "c", "live", "n", name), NOW)
        assert found is not None
        assert found.subject == stored, "people see what was written"
    view.remove("bl_1")
    assert view.check(Publish("s", "c", "live", "n", "victim"), NOW) is None


@pytest.mark.parametrize("case", NameCase)
async def test_case_counts_by_policy(tmp_path: Path, case: NameCase) -> None:
    async with gate_without_workers(tmp_path, Policy(names=NamesPolicy(case=case))) as bench:
        await bench.gate.actions.add_block(SubjectKind.BROADCASTER, "Victim", "", 60_000, "test", "test")
        assert not (await bench.admit("1", "show", "Victim")).allowed
        assert (await bench.admit("2", "other", "vICTIM")).allowed is (case is NameCase.PRESERVED)


async def test_a_policy_that_maps_case_applies_to_running_streams(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await bench.gate.actions.add_block(SubjectKind.BROADCASTER, "Victim", "", 60_000, "test", "test")
        running = await bench.admit("1", "show", "victim")
        assert running.allowed
        await bench.gate.actions.set_policy(Policy(names=NamesPolicy(case=NameCase.MAPPED)), "test", "", 0)
        assert bench.gate.registry.get(running.stream_id).cutting
        assert not (await bench.admit("2", "other", "victim")).allowed


async def test_strikes_under_another_spelling_count_together(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        for name in ("victim", "victim.", "ｖｉｃｔｉｍ"):
            await bench.gate.actions.add_strike(name, "live", "fight", Severity.NORMAL, "test", "test", None)
        assert len(bench.gate.ledger.strikes_of("victim")) == 3
        assert len(bench.gate.ledger.strikes(broadcaster="victim/")) == 3
        first, second, third = (
            block.until_ms - block.created_ms for block in bench.gate.ledger.blocks(wall_ms=0)[::-1]
        )
        assert first < second < third, "each is a step of one ladder"


@pytest.mark.parametrize("name", ["vіctim", "νictim", "victirn", "Victim", "v1ctim"])
async def test_a_name_that_looks_like_a_blocked_one_is_let_in_and_told_of(tmp_path: Path, name: str) -> None:
    async with gate_without_workers(tmp_path) as bench:
        block = await bench.gate.actions.add_block(
            SubjectKind.BROADCASTER, "vlctim" if name == "v1ctim" else "victim", "", 60_000, "test", "test"
        )
        answer = await bench.admit("1", "show", name)
        assert (answer.allowed, answer.resembles_block_id) == (True, block.id)
        assert [record.block.id for record in bench.recorded.of(NameResembles)] == [block.id]
        assert (await bench.admit("2", "other", "another")).resembles_block_id == ""
        await bench.gate.actions.lift_block(block.id, "test", "test")
        assert (await bench.admit("3", "third", name)).resembles_block_id == ""


def test_no_likeness_is_sought_while_no_broadcaster_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cost each Admit more than the look-up itself."""
    view = AdmissionView()
    view.load_rows([row_of(dataclasses.replace(blocked("192.0.2.7"), subject_kind=SubjectKind.ADDRESS))])
    publish = Publish("s", "c", "live", "n", "victim")
    monkeypatch.setattr("edge.ledger.admission_view.skeleton", lambda name: pytest.fail(name))
    assert view.resembling(publish, NOW) is None
    monkeypatch.undo()
    view.add_block(dataclasses.replace(blocked("vіctim"), id="bl_3"))
    assert view.resembling(publish, NOW) is not None
    view.remove("bl_3")
    assert view.resembling(publish, NOW) is None


def test_a_loaded_block_is_found_by_its_likeness() -> None:
    view = AdmissionView()
    view.load_rows([row_of(blocked("victim")), row_of(dataclasses.replace(blocked("k"), id="bl_2"))])
    alike = Publish("s", "c", "live", "n", "vіctim")
    assert view.resembling(alike, NOW) == blocked("victim")
    assert view.resembling(alike, NOW + 1) is None
    assert view.resembling(Publish("s", "c", "live", "n", "victim"), NOW) is None, "that one is refused"
