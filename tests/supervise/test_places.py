"""Places in Admit: what one stranger takes is refused to nobody else, and what is idle is given away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.config import LimitsSection
from edge.contract.gen import worker_pb2
from edge.domain import UNPROVEN_ATTRIBUTE, AccessUnit, Publish, StreamId
from edge.errors import FrameTooLarge, NotFound, SourceStalled
from edge.reasons import AdmissionReason, EndReason
from edge.servers.gatekeeper import Admission
from edge.servers.hook_http import refusal_status
from edge.supervise import gate as gate_module
from edge.supervise.authority import NOBODY, Caller
from edge.supervise.registry import IDLE_MS, SILENT_MS, Registry
from edge.supervise.stream_journal import StreamJournal
from edge.supervise.usage_counter import UsageCounter
from edge.telemetry.records import CutUnconfirmed, PublishRefused, StreamOver
from edge.workers.closing import Closing
from tests.supervise.gate_without_workers import SERVER, Bench, gate_without_workers

PEER = Caller("peer", "peer:1")
LIMITS = LimitsSection(
    max_streams=12,
    max_streams_per_client=100,
    max_streams_per_broadcaster=3,
    max_streams_per_address=6,
    max_streams_per_app=8,
)


class Clock(SystemClock):
    ahead_ms = 0.0

    def monotonic_ms(self) -> float:
        return super().monotonic_ms() + self.ahead_ms


class Small:
    """A gate with few places, and a clock that can be put forward."""

    def __init__(self, bench: Bench, clock: Clock) -> None:
        self.bench = bench
        self.clock = clock
        self.asked = 0

    async def admit(
        self,
        broadcaster: str,
        address: str = "",
        app: str = "live",
        server: str = "grpc",
        caller: Caller = PEER,
    ) -> Admission:
        self.asked += 1
        publish = Publish(server, f"c{self.asked}", app, "name", broadcaster, address)
        return await self.bench.gate.admit(publish, caller)

    def watch(self, admission: Admission) -> None:
        self.bench.gate.router.open_push(admission.stream_id or "", "h264", b"", PEER)


@asynccontextmanager
async def small_gate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Small]:
    clock = Clock()

    def registry(_: LimitsSection, journal: StreamJournal, usage: UsageCounter, __: Clock) -> Registry:
        return Registry(LIMITS, journal, usage, clock)

    monkeypatch.setattr(gate_module, "Registry", registry)
    async with gate_without_workers(folder) as bench:
        bench.gate._context.clock = clock
        yield Small(bench, clock)


@pytest.mark.parametrize(
    ("flood", "limit"),
    [
        ({"broadcaster": "greedy"}, "limits.max_streams_per_broadcaster: all 3 places are taken"),
        ({"address": "203.0.113.{}"}, "limits.max_streams_per_address: all 6 places are taken"),
        ({"address": "2001:db8::{}"}, "limits.max_streams_per_address: all 6 places are taken"),
        ({"app": "flooded"}, "limits.max_streams_per_app: all 8 places are taken"),
    ],
)
async def test_a_flood_is_refused_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flood: dict[str, str], limit: str
) -> None:
    async with small_gate(tmp_path, monkeypatch) as small:
        for number in range(60):
            one = {name: value.format(number) for name, value in flood.items()}
            asked = {"broadcaster": f"b{number}", "address": "", "app": "other", **one}
            last = await small.admit(asked["broadcaster"], asked["address"], asked["app"])
        assert last.reason is AdmissionReason.QUOTA
        assert last.notice is not None
        assert last.notice.en
        assert refusal_status(last.reason) == 503
        refused = small.bench.recorded.of(PublishRefused)
        assert {(record.reason, record.detail) for record in refused} == {("quota", limit)}
        assert (await small.admit("anna", "198.51.100.1")).allowed


async def test_places_of_publishes_that_nobody_watches_go_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_gate(tmp_path, monkeypatch) as small:
        first = await small.admit("anna", app="a")
        second = await small.admit("anna", app="b")
        small.watch(first)
        small.clock.ahead_ms = IDLE_MS / 2
        third = await small.admit("anna", app="c")
        assert not (await small.admit("anna", app="d")).allowed, "it has a moment to be watched"
        small.clock.ahead_ms = 1.2 * IDLE_MS
        assert (await small.admit("anna", app="d")).allowed
        over = small.bench.recorded.of(StreamOver)
        assert [(record.stream_id, record.reason) for record in over] == [
            (second.stream_id, EndReason.GAVE_WAY)
        ]
        with pytest.raises(NotFound):
            small.watch(second)
        small.watch(third)
        assert not (await small.admit("anna", app="e")).allowed, "none of the three is idle"


async def test_an_unproven_name_takes_no_place_of_whoever_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_gate(tmp_path, monkeypatch) as small:
        for number in range(10):
            stranger = Publish(
                "grpc", f"s{number}", "live", "name", "anna", attributes={UNPROVEN_ATTRIBUTE: "true"}
            )
            await small.bench.gate.admit(stranger, PEER)
        assert (await small.admit("anna")).allowed


async def test_who_watches_and_sends_nothing_keeps_no_neighbour_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many publish from behind one address."""
    async with small_gate(tmp_path, monkeypatch) as small:
        gate = small.bench.gate
        silent = [await small.admit(f"s{number}", "203.0.113.7") for number in range(6)]
        for admission in silent:
            small.watch(admission)
        streams = [gate.registry.get(admission.stream_id or "") for admission in silent]
        gate.router.intake.push(streams[0], AccessUnit(0, 0, True, b"picture", 0.0))
        small.clock.ahead_ms = SILENT_MS / 2
        assert (await small.admit("anna", "203.0.113.8")).reason is AdmissionReason.QUOTA, "it may be slow"
        small.clock.ahead_ms = SILENT_MS
        for number in range(5):
            assert (await small.admit(f"n{number}", "203.0.113.8")).allowed
        assert (await small.admit("n5", "203.0.113.8")).reason is AdmissionReason.QUOTA
        assert [stream.life.over for stream in streams] == [False, *[True] * 5], "one has brought a frame"
        for stream in streams[1:]:
            assert stream.responses is not None
            assert isinstance(stream.responses.error, SourceStalled), "it asks again when media comes"
        assert small.bench.workers.watched == {streams[0].id}


async def test_a_flood_of_admissions_takes_no_place_for_longer_than_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are places, four times a second."""
    async with small_gate(tmp_path, monkeypatch) as small:
        for lap in range(8):
            small.clock.ahead_ms = 251.0 * lap
            for number in range(LIMITS.max_streams):
                app = "a" if number % 2 else "b"
                assert (await small.admit(f"b{lap}.{number}", app=app)).allowed


async def test_a_stream_that_its_server_goes_on_with_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_gate(tmp_path, monkeypatch) as small:
        for _ in range(3):
            assert (await small.admit("anna", server=SERVER, caller=NOBODY)).allowed
        small.clock.ahead_ms = 10 * IDLE_MS
        assert (await small.admit("anna")).reason is AdmissionReason.QUOTA


async def test_a_stream_that_is_being_cut_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_gate(tmp_path, monkeypatch) as small:
        admitted = [await small.admit("anna") for _ in range(3)]
        for admission in admitted:
            small.bench.gate.registry.get(admission.stream_id or "").life.cut()
        small.clock.ahead_ms = 10 * IDLE_MS
        assert (await small.admit("anna")).reason is AdmissionReason.QUOTA


@pytest.mark.parametrize("ended", ["by its media", "by a verdict"])
async def test_streams_whose_cuts_nobody_confirms_take_no_places_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """Whether a cut gets confirmed is up to the one who is cut, and to his server."""
    async with small_gate(tmp_path, monkeypatch) as small:
        registry, workers = small.bench.gate.registry, small.bench.workers
        for number in range(5 * LIMITS.max_streams):
            admission = await small.admit(f"b{number}", f"203.0.113.{number}")
            assert admission.allowed, number
            small.watch(admission)
            stream = registry.get(admission.stream_id or "")
            if ended == "by its media":
                error = FrameTooLarge(8192, 8192, 4096, 2304)
                closed = Closing.by(error, retryable=False).to_proto(stream.id, stream.opening)
                small.bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(closed=closed))
            else:
                small.bench.judged(stream.id)
            assert stream.cutting
            assert not workers.watched, "and no worker counts it"
            assert stream.responses is not None
            await small.bench.until(partial(getattr, stream, "cut_answer"))
            small.bench.gate.router.call_ended(stream, stream.responses)
        await small.bench.until(lambda: len(registry) <= LIMITS.max_streams)
        assert small.bench.recorded.of(CutUnconfirmed), "too many wait: those that nobody can confirm end so"


async def test_cuts_that_can_still_be_asked_for_wait_in_places_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server may still have on air is not forgotten. Where too many wait, they count like others."""
    async with small_gate(tmp_path, monkeypatch) as small:
        most = LIMITS.max_streams + (LIMITS.max_streams_per_app or 0)
        for number in range(most):
            admission = await small.admit(f"b{number}", server=SERVER, caller=NOBODY)
            assert admission.allowed, number
            await small.bench.gate.attach(StreamId(admission.stream_id or ""), "rtmp://127.0.0.1/live/name")
            small.bench.judged(admission.stream_id or "")
        assert len(small.bench.gate.registry) == most
        assert (await small.admit("anna")).reason is AdmissionReason.QUOTA


async def test_a_place_is_given_back_with_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_gate(tmp_path, monkeypatch) as small:
        router, registry = small.bench.gate.router, small.bench.gate.registry
        for _ in range(60):
            stream_id = (await small.admit("anna")).stream_id or ""
            with pytest.raises(NotFound):
                router.detach(stream_id, EndReason.PUBLISHER_GONE, Caller("peer", "peer:2"))
            with pytest.raises(NotFound):
                router.detach(stream_id, EndReason("other"), PEER)
            assert registry.find(StreamId(stream_id)) is not None
            router.detach(stream_id, EndReason.PUBLISHER_GONE, PEER)
            assert registry.find(StreamId(stream_id)) is None
        assert len(registry) == 0
