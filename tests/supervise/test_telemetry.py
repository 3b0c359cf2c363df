"""The gate's reports of a flag, a cut, a block, a review and a refusal, and a failing backend."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs
from structlog.typing import EventDict

from edge.domain import Action, IncidentState, Publish, SubjectKind
from edge.policy import Policy
from edge.telemetry.log_lines import LogBackend
from edge.telemetry.records import (
    BlockLifted,
    BlockMade,
    CutDecided,
    CutProven,
    Flagged,
    IncidentReviewed,
    PublishAdmitted,
    PublishRefused,
    Record,
    TurnedAway,
    ViolationRecorded,
)
from edge.telemetry.telemetry import Telemetry
from tests.supervise.gate_without_workers import SERVER, Bench, gate_without_workers


def lines(bench: Bench) -> list[EventDict]:
    """The log lines of all reports so far."""
    backend = LogBackend()
    with capture_logs() as said:
        for record in bench.recorded.records:
            backend.take(record)
    return said


def times(bench: Bench, *kinds: type[Record]) -> list[int]:
    return [len(bench.recorded.of(kind)) for kind in kinds]


async def test_a_cut_is_reported_once_from_decision_to_proof(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        bench.judged(stream_id)
        bench.server.gone = True
        await bench.until(lambda: bench.recorded.of(CutProven))
        refused = await bench.admit("8", "show")
        assert not refused.allowed
    kinds = (PublishAdmitted, CutDecided, ViolationRecorded, BlockMade, CutProven, PublishRefused)
    assert times(bench, *kinds) == [1, 1, 1, 1, 1, 1]
    order = [type(record) for record in bench.recorded.records if isinstance(record, kinds)]
    assert order == list(kinds)
    (decided,) = bench.recorded.of(CutDecided)
    (confirmed,) = bench.recorded.of(CutProven)
    assert decided.incident_id == confirmed.incident_id
    assert confirmed.time_to_cut_ms is not None
    (block,) = (made.block for made in bench.recorded.of(BlockMade))
    assert bench.recorded.of(PublishRefused)[0].block_id == block.id
    said = [line["event"] for line in lines(bench) if line.get("broadcaster") == "anna"]
    assert sorted(said) == [
        "block made",
        "cut confirmed",
        "cut decided",
        "publish refused",
        "stream is over",
        "violation recorded",
    ]


async def test_a_flag_and_its_review_are_reported_with_who(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        bench.judged(stream_id, Action.FLAG)
        await bench.until(lambda: bench.recorded.of(Flagged))
        (flagged,) = bench.recorded.of(Flagged)
        await bench.until(lambda: bench.ledger.incidents())
        await bench.gate.reviews.review(flagged.incident.id, IncidentState.OVERTURNED, "a film", "rita")
        (reviewed,) = bench.recorded.of(IncidentReviewed)
    assert (reviewed.by, reviewed.incident.state) == ("rita", IncidentState.OVERTURNED)
    found = {line["event"]: line for line in lines(bench)}
    for event, by in (("flagged", "gate"), ("incident reviewed", "rita")):
        assert found[event]["stream_id"] == stream_id
        assert (found[event]["broadcaster"], found[event]["by"]) == ("anna", by)


async def test_a_block_by_hand_names_its_maker_in_the_cut_that_follows(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await bench.watched()
        actions = bench.gate.actions
        block = await actions.add_block(SubjectKind.BROADCASTER, "anna", "", 60_000, "spam", "rita")
        await actions.lift_block(block.id, "a mistake", "omar")
        bench.server.gone = True
    assert [(made.block.id, made.by) for made in bench.recorded.of(BlockMade)] == [(block.id, "rita")]
    assert [(cut.block_id, cut.by) for cut in bench.recorded.of(CutDecided)] == [(block.id, "rita")]
    assert [(lifted.block.id, lifted.by) for lifted in bench.recorded.of(BlockLifted)] == [(block.id, "omar")]


async def test_what_a_hook_refuses_by_itself_is_no_admission(tmp_path: Path) -> None:
    publish = Publish(SERVER, "7", "live", "show", "anna")
    async with gate_without_workers(tmp_path) as bench:
        bench.gate.turned_away(publish, "second_publish", "twice")
    assert bench.recorded.of(TurnedAway) == [TurnedAway(publish, "second_publish", "twice")]
    assert times(bench, PublishAdmitted, PublishRefused) == [0, 0]


async def test_a_backend_that_fails_does_not_hurt_a_cut(tmp_path: Path) -> None:
    class Broken:
        def take(self, record: Record) -> None:
            raise OSError("no room")

        def flush(self) -> None:
            raise OSError("no room")

    telemetry = Telemetry(Broken())
    async with gate_without_workers(tmp_path, Policy(), telemetry) as bench:
        stream_id = await bench.watched()
        bench.judged(stream_id)
        bench.server.gone = True
        await bench.until(lambda: bench.gate.registry.find(stream_id) is None)
        assert not (await bench.admit("8", "show")).allowed
        (incident,) = bench.ledger.incidents()
        assert incident.cut_confirmed_ms is not None
    assert telemetry.failures["Broken"] > 5
