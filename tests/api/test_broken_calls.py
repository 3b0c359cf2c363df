"""Callers that are refused while they send, send malformed messages, or send nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from edge.api.auth import TokenFile
from edge.api.server import GrpcServer
from edge.api.status import answers_errors, streams_errors
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.domain import StreamId
from edge.ingest.gate_client import WatchCall
from edge.reasons import EndReason
from edge.telemetry.records import CallBroken
from tests.supervise.gate_without_workers import Bench, gate_without_workers

CALLERS = 20
HOUR_MS = 3_600_000
PATIENCE_S = 90.0


@asynccontextmanager
async def served(folder: Path, **limits: int) -> AsyncIterator[tuple[Bench, str]]:
    async with gate_without_workers(folder) as bench:
        before = bench.gate.settings
        settings = before.model_copy(
            update={
                "grpc": before.grpc.model_copy(update={"listen": "127.0.0.1:0"}),
                "limits": before.limits.model_copy(update=limits),
            }
        )
        settings.operator_tokens.touch(0o600)
        bench.gate.take_settings(settings)
        server = GrpcServer(settings, bench.gate, TokenFile(settings.operator_tokens))
        await server.start()
        try:
            yield bench, server.address
        finally:
            await server.stop(0)


def unit(number: int) -> gate_pb2.WatchRequest:
    unit = gate_pb2.AccessUnit(pts_ms=number, dts_ms=number, keyframe=True, data=b"x" * 3000)
    return gate_pb2.WatchRequest(access_unit=unit)


def opening(stream_id: str) -> gate_pb2.WatchRequest:
    return gate_pb2.WatchRequest(open=gate_pb2.WatchOpen(stream_id=stream_id, codec="h264"))


def admit(stub: gate_pb2_grpc.GateStub, connection: str) -> str:
    request = gate_pb2.AdmitRequest(server="grpc", connection=connection, app="live", name=connection)
    return stub.Admit(request).stream_id


def status(call: Iterable[object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    return caught.value.code()


def written(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Log records of tracebacks and errors, whichever logger wrote them."""
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    return lines + [line for line in capsys.readouterr().out.splitlines() if "error" in line]


async def test_who_is_refused_while_it_sends_writes_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(tmp_path) as (bench, address):
        loop = asyncio.get_running_loop()

        def end(stream_id: str) -> None:
            stream = bench.gate.registry.find(StreamId(stream_id))
            if stream is None:
                return
            if stream.responses is None:
                loop.call_later(0.01, end, stream_id)  # Its call has not ended yet.
            else:
                bench.gate.router.ends.forget(stream, EndReason.UNWATCHED)

        def callers() -> Counter[grpc.StatusCode]:
            with grpc.insecure_channel(address) as channel:
                stub = gate_pb2_grpc.GateStub(channel)

                def media(stream_id: str) -> Iterator[gate_pb2.WatchRequest]:
                    yield opening(stream_id)
                    for number in range(1500):
                        if number == 30:
                            loop.call_soon_threadsafe(end, stream_id)
                        yield unit(number)

                known = [status(stub.Watch(media(admit(stub, str(number))))) for number in range(CALLERS)]
                unknown = [status(stub.Watch(media("st_unknown"))) for _ in range(CALLERS)]
                return Counter(known + unknown)

        codes = await asyncio.to_thread(callers)
        await asyncio.sleep(0.2)
    assert codes == {grpc.StatusCode.UNAVAILABLE: CALLERS, grpc.StatusCode.NOT_FOUND: CALLERS}
    assert written(caplog, capsys) == []


async def test_what_is_no_message_is_refused_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(tmp_path) as (bench, address):

        def callers() -> set[grpc.StatusCode]:
            with grpc.insecure_channel(address) as channel:
                watch = channel.stream_stream("/edge.gate.v1.Gate/Watch", bytes, bytes)
                admit = channel.unary_unary("/edge.gate.v1.Gate/Admit", bytes, bytes)
                codes = {status(watch(iter([b"\xff" * 4]))) for _ in range(CALLERS)}
                for _ in range(CALLERS):
                    with pytest.raises(grpc.RpcError):
                        admit(b"\xff" * 4)
                return codes

        assert await asyncio.to_thread(callers) == {grpc.StatusCode.INVALID_ARGUMENT}
        assert bench.recorded.of(CallBroken) == [CallBroken("DecodeError")] * CALLERS
    assert written(caplog, capsys) == []


async def test_a_caller_that_has_gone_before_its_error_writes_no_traceback() -> None:
    """gRPC raises this where a status can no longer be sent."""

    async def unary(self: object, request: object, context: object) -> None:
        raise grpc.aio.InternalError

    async def stream(self: object, request: object, context: object) -> AsyncIterator[None]:
        raise grpc.aio.InternalError
        yield

    nobody: Any = None
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(grpc.aio.InternalError):
            await answers_errors(unary)(nobody, nobody, nobody)
        with pytest.raises(grpc.aio.InternalError):
            await anext(streams_errors(stream)(nobody, nobody, nobody))
    assert logs == []


async def test_an_error_that_no_caller_causes_is_still_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path):
        logging.getLogger("grpc._cython.cygrpc").error("wrong", exc_info=ValueError("ours"))
    assert [record.getMessage() for record in caplog.records] == ["wrong"]


async def test_a_call_without_open_and_one_without_media_end(tmp_path: Path) -> None:
    async with (
        served(tmp_path, watch_open_ms=200, push_stall_ms=HOUR_MS) as (bench, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = gate_pb2_grpc.GateStub(channel)
        without_open = stub.Watch()  # type: ignore[call-arg]  # it writes by itself
        assert await asyncio.wait_for(without_open.code(), PATIENCE_S) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "limits.watch_open_ms" in await without_open.details()

        answer = await stub.Admit(gate_pb2.AdmitRequest(server="grpc", connection="1", app="live", name="n"))
        without_media = stub.Watch()  # type: ignore[call-arg]  # it writes by itself
        await without_media.write(opening(answer.stream_id))
        await bench.until(lambda: bench.gate.registry.get(answer.stream_id).responses is not None)
        await bench.gate.upkeep.forget_unwatched()
        stream = bench.gate.registry.get(answer.stream_id)
        assert stream.responses is not None, "it has some time"
        stream.fed_ms -= HOUR_MS + 1
        await bench.gate.upkeep.forget_unwatched()
        assert await asyncio.wait_for(without_media.code(), PATIENCE_S) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "limits.push_stall_ms" in await without_media.details()
        assert bench.recorded.of(CallBroken) == [CallBroken("no_open"), CallBroken("no_media")]
        assert bench.gate.registry.get(answer.stream_id).responses is None, (
            "its place is free for another call"
        )


async def told(call: WatchCall) -> tuple[list[int], grpc.StatusCode]:
    """The actions of all verdicts of a call, and how it ends."""
    actions: list[int] = []
    try:
        while isinstance(answer := await call.read(), gate_pb2.WatchResponse):
            actions.append(answer.verdict.action)
    except grpc.aio.AioRpcError as error:
        return actions, error.code()
    return actions, grpc.StatusCode.OK


@pytest.mark.parametrize("by", ["gate", "caller"])
async def test_an_access_unit_far_over_the_limit_opens_an_incident(tmp_path: Path, by: str) -> None:
    """The gate answers before gRPC does; a caller that meets gRPC's own limit says so in another call."""
    async with (
        served(tmp_path, max_access_unit_bytes=100_000) as (bench, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = gate_pb2_grpc.GateStub(channel)
        answer = await stub.Admit(gate_pb2.AdmitRequest(server="grpc", connection="1", app="live", name="n"))
        call = stub.Watch()  # type: ignore[call-arg]  # it writes by itself
        await call.write(opening(answer.stream_id))
        size = 200_000 if by == "gate" else 400_000
        large = gate_pb2.AccessUnit(keyframe=True, data=bytes(size))
        await call.write(gate_pb2.WatchRequest(access_unit=large))
        if by == "caller":
            assert await asyncio.wait_for(call.code(), PATIENCE_S) is grpc.StatusCode.RESOURCE_EXHAUSTED
            await bench.until(lambda: bench.gate.registry.get(answer.stream_id).responses is None)
            call = stub.Watch()  # type: ignore[call-arg]  # it writes by itself
            await call.write(opening(answer.stream_id))
            end = gate_pb2.WatchEnd(reason="unwatchable", detail="larger than gRPC takes")
            await call.write(gate_pb2.WatchRequest(end=end))
        actions, code = await asyncio.wait_for(told(call), PATIENCE_S)
        assert (actions[-1], code) == (gate_pb2.ACTION_CUT, grpc.StatusCode.INVALID_ARGUMENT)
        await bench.until(lambda: bench.ledger.incidents())
        await stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=answer.stream_id))
