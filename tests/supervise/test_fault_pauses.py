"""Who must wait after streams that could not be watched, for how long, and who must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.gen import worker_pb2
from edge.domain import UNPROVEN_ATTRIBUTE, Publish
from edge.errors import FrameTooLarge, SourceStalled
from edge.policy import Mode, Policy
from edge.supervise.fault_pauses import (
    FIRST_PAUSE_MS,
    FORGET_MS,
    FREE_FAULTS,
    LONGEST_PAUSE_MS,
    FaultPauses,
)
from edge.workers.closing import Closing
from tests.supervise.gate_without_workers import Bench, gate_without_workers

TOO_LARGE = FrameTooLarge(8192, 8192, 4096, 2304)


def publish(broadcaster: str, address: str = "203.0.113.7", *, proven: bool = True) -> Publish:
    attributes = {} if proven else {UNPROVEN_ATTRIBUTE: "true"}
    return Publish("grpc", "c", "live", "show", broadcaster, address, attributes)


def paused(pauses: FaultPauses, of: Publish, faults: int = FREE_FAULTS + 1) -> None:
    for _ in range(faults):
        pauses.faulted(of, 0.0)


def test_the_first_faults_are_free_and_pauses_double_up_to_a_bound() -> None:
    pauses, anna, now_ms = FaultPauses(), publish("anna"), 0.0
    waited = []
    for _ in range(FREE_FAULTS + 9):
        pauses.faulted(anna, now_ms)
        waited.append(pauses.left_ms(anna, now_ms))
        now_ms += waited[-1]
        assert pauses.left_ms(anna, now_ms) == 0.0
    assert waited[:FREE_FAULTS] == [0.0] * FREE_FAULTS
    assert waited[FREE_FAULTS : FREE_FAULTS + 3] == [FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS, 4 * FIRST_PAUSE_MS]
    assert waited[-1] == LONGEST_PAUSE_MS
    pauses.faulted(anna, now_ms + FORGET_MS)
    assert pauses.left_ms(anna, now_ms + FORGET_MS) == 0.0, "it counts from the beginning again"


@pytest.mark.parametrize(
    ("faulty", "other"),
    [
        (publish("anna"), publish("berta")),
        (publish("anna", proven=False), publish("berta", proven=False)),
        (publish("anna", proven=False), publish("anna")),
        (publish("anna", proven=False), publish("anna", "203.0.113.8", proven=False)),
    ],
    ids=["a neighbour", "an unproven neighbour", "whoever has the name", "the name elsewhere"],
)
def test_nobody_else_waits(faulty: Publish, other: Publish) -> None:
    pauses = FaultPauses()
    paused(pauses, faulty)
    assert pauses.left_ms(faulty, 0.0) == FIRST_PAUSE_MS
    assert pauses.left_ms(other, 0.0) == 0.0


def test_a_proven_account_waits_wherever_it_comes_from() -> None:
    pauses = FaultPauses()
    paused(pauses, publish("anna"))
    assert pauses.left_ms(publish("anna", "198.51.100.1"), 0.0) == FIRST_PAUSE_MS


@given(st.lists(st.integers(0, 60), max_size=200))
def test_what_is_remembered_is_bounded(faults: list[int]) -> None:
    pauses = FaultPauses(most=10)
    for number, who in enumerate(faults):
        pauses.faulted(publish(f"b{who}"), float(number))
    assert len(pauses._faults) == min(len(set(faults)), 10)


async def fault(bench: Bench, broadcaster: str, number: int) -> bool:
    """Publishes what cannot be watched. Returns whether it was let in."""
    admission = await bench.admit(f"c{broadcaster}{number}", f"show{number}", broadcaster)
    if not admission.allowed:
        assert admission.reason == "paused"
        assert admission.until_ms > bench.gate.clock.wall_ms()
        assert "encoder" in admission.notice.en
        return False
    stream = bench.gate.router.open_push(admission.stream_id, "h264", b"", bench.caller(admission.stream_id))
    closed = Closing.by(TOO_LARGE, retryable=False).to_proto(stream.id, stream.opening)
    bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(closed=closed))
    bench.server.gone = True
    bench.gate.confirm_cut(stream.id, 0, bench.caller(stream.id))
    return True


async def test_who_publishes_what_cannot_be_watched_again_and_again_must_wait(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        let_in = [await fault(bench, "flooder", number) for number in range(8)]
        assert let_in == [number <= FREE_FAULTS for number in range(8)]
        assert (await bench.admit("1", "show", "berta")).allowed


async def test_faults_of_the_gate_pause_nobody(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        for number in range(FREE_FAULTS + 2):
            stream_id = await bench.watched(f"c{number}", f"show{number}")
            await bench.pull_ends(stream_id, SourceStalled("no video for 10000 ms"))
        assert (await bench.admit("again", "show")).allowed


async def test_shadow_mode_pauses_nobody(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, Policy(mode=Mode.SHADOW)) as bench:
        for number in range(FREE_FAULTS + 2):
            assert await fault(bench, "anna", number)
