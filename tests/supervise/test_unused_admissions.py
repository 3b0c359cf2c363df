"""Admissions that nobody uses: they are given back or lapse, and count as no cut."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.api.auth import TokenFile
from edge.api.connections import BusyPeers
from edge.api.failed_calls import FailedCalls, Turnstile
from edge.api.gate_servicer import GateServicer
from edge.contract.gen import gate_pb2
from edge.domain import Publish, StreamId
from edge.errors import Conflict, NotFound
from edge.ledger.snapshot import snapshot
from edge.reasons import AdmissionReason, EndReason
from edge.report.gather import gather
from edge.report.report import Report
from edge.supervise.authority import Caller
from edge.telemetry.records import CutDecided, CutProven, CutUnconfirmed, StreamOver
from tests.supervise.gate_without_workers import PATIENCE_S, Bench, gate_without_workers

PEER, OTHER = Caller("peer", "peer:1"), Caller("peer", "peer:2")
BEYOND_MS = 60_000.0


async def admitted(bench: Bench, connection: str = "c1", broadcaster: str = "anna") -> StreamId:
    publish = Publish("own", connection, "live", "show", broadcaster)
    admission = await bench.gate.admit(publish, PEER)
    assert admission.stream_id is not None
    return admission.stream_id


async def report_of(bench: Bench, folder: Path) -> Report:
    await bench.gate._enforcer.settle(5)

    def read() -> Report:
        with snapshot(folder / "ledger.db") as connection:
            return gather(connection, 0, 2**60, 0)

    return await asyncio.to_thread(read)


async def blocked_before_watching(bench: Bench) -> StreamId:
    bench.gate._enforcer._cut_limit_ms = 20
    stream_id = await admitted(bench)
    await bench.block("anna")
    await asyncio.sleep(0.2)  # the limit of a cut is over
    return stream_id


def end_unwatched(bench: Bench, stream_id: StreamId) -> None:
    bench.gate.registry.get(stream_id).idle_since_ms -= BEYOND_MS


@pytest.mark.parametrize("ends", ["lapses", "released", "detached", "confirmed"])
async def test_a_blocked_stream_that_nobody_watched_is_no_cut(tmp_path: Path, ends: str) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await blocked_before_watching(bench)
        match ends:
            case "lapses":
                end_unwatched(bench, stream_id)
                await bench.gate.upkeep.forget_unwatched()
            case "released":
                bench.gate.router.release(stream_id, PEER)
            case "detached":
                bench.gate.router.detach(stream_id, EndReason.PUBLISHER_GONE, PEER)
            case "confirmed":
                assert bench.gate.confirm_cut(stream_id, 0, PEER) == -1.0
        assert bench.gate.registry.find(stream_id) is None
        assert bench.recorded.of(CutDecided) == []
        assert bench.recorded.of(CutUnconfirmed) == []
        report = await report_of(bench, tmp_path)
        assert report.cuts.cuts == 0
        assert report.cuts.without_verdict == {}


async def test_whoever_watches_a_blocked_stream_gets_its_cut_and_proves_it(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await blocked_before_watching(bench)
        stream = bench.gate.router.open_push(stream_id, "h264", b"", PEER)
        assert stream.responses is not None
        answer = await asyncio.wait_for(stream.responses.get(), PATIENCE_S)
        assert answer is not None
        assert answer.verdict.action == gate_pb2.ACTION_CUT
        assert answer.verdict.reason == "blocked"
        assert answer.verdict.blocked_until_wall_ms > 0
        with pytest.raises(Conflict, match="ConfirmCut"):
            bench.gate.router.release(stream_id, PEER)
        assert bench.gate.confirm_cut(stream_id, 0, PEER) >= 0.0
        await bench.until(lambda: bench.recorded.of(CutProven))
        assert (await report_of(bench, tmp_path)).cuts.without_verdict == {"blocked": 1}


async def test_a_blocked_stream_that_was_watched_before_is_a_cut(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        bench.gate._enforcer._cut_limit_ms = 20
        stream_id = await admitted(bench)
        router = bench.gate.router
        stream = router.open_push(stream_id, "h264", b"", PEER)
        assert stream.responses is not None
        router.call_ended(stream, stream.responses)
        await bench.block("anna")
        await bench.until(lambda: bench.recorded.of(CutUnconfirmed))


async def test_an_admission_is_given_back_by_whoever_has_it(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        router, registry = bench.gate.router, bench.gate.registry
        stream_id = await admitted(bench)
        with pytest.raises(NotFound):
            router.release(stream_id, OTHER)
        stream = router.open_push(stream_id, "h264", b"", PEER)
        with pytest.raises(Conflict, match="is watched"):
            router.release(stream_id, PEER)
        assert stream.responses is not None
        router.call_ended(stream, stream.responses)
        router.release(stream_id, PEER)
        assert registry.find(stream_id) is None
        assert [over.reason for over in bench.recorded.of(StreamOver)] == [EndReason.RELEASED]
        with pytest.raises(NotFound):
            router.release(stream_id, PEER)
        assert await admitted(bench) != stream_id


class Context:
    """A call from one peer."""

    def auth_context(self) -> dict[str, object]:
        return {}

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    def invocation_metadata(self) -> tuple[()]:
        return ()


async def test_admit_says_that_the_connection_is_live(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        servicer = GateServicer(
            bench.gate,
            TokenFile(tmp_path / "no.tokens"),
            BusyPeers(),
            Turnstile(FailedCalls(), bench.gate.clock),
        )

        async def ask(name: str) -> gate_pb2.AdmitResponse:
            request = gate_pb2.AdmitRequest(server="own", connection="c1", app="live", name=name)
            return await servicer.Admit(request, Context())  # type: ignore[arg-type]

        first = await ask("show")
        assert (await ask("show")).stream_id == first.stream_id
        second = await ask("other")
        assert not second.allowed
        assert second.reason == gate_pb2.REASON_CODE_ALREADY_LIVE
        assert second.message.en
        assert second.message.ar


def test_every_reason_of_a_refusal_has_its_code() -> None:
    from edge.api.gate_servicer import _REASONS

    assert set(_REASONS) == set(AdmissionReason)
    assert len(set(_REASONS.values())) == len(_REASONS)
