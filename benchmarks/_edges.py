"""A running gate as benchmarks call it: admissions and pushed streams."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from benchmarks._media import Loop
from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2_grpc
from edge.gate_process import GateProcess

WAIT_S = 30.0
_ASK_S = 0.002


class Edge:
    """One gate of the fleet and its stubs."""

    def __init__(self, process: GateProcess, channel: grpc.aio.Channel) -> None:
        self.gate: Any = gate_pb2_grpc.GateStub(channel)
        self.operator: Any = operator_pb2_grpc.OperatorStub(channel)
        token = parse_tokens(process.tokens)[0].token.get_secret_value()
        self.metadata = (("authorization", f"Bearer {token}"),)

    async def admit(self, who: str, connection: str) -> gate_pb2.AdmitResponse:
        request = gate_pb2.AdmitRequest(
            server="benchmark",
            connection=connection,
            app="live",
            name=who,
            broadcaster=who,
            address="127.0.0.1",
        )
        response: gate_pb2.AdmitResponse = await self.gate.Admit(request, timeout=WAIT_S)
        return response

    async def refuses_ms(self, who: str) -> float:
        """Asks every 2 ms. Returns the wall time at which this edge refused the broadcaster."""
        end = time.monotonic() + WAIT_S
        asked = f"{who}-asked"
        stream_id = ""
        while (answer := await self.admit(who, asked)).allowed:
            stream_id = answer.stream_id
            if time.monotonic() > end:
                raise TimeoutError(f"{who} is still admitted after {WAIT_S} s")
            await asyncio.sleep(_ASK_S)
        at = wall_ms()
        # The gate took the question for a stream of its own, and cuts that as well.
        if stream_id:
            with contextlib.suppress(grpc.RpcError):
                await self.confirm(stream_id)
        return at

    async def confirm(self, stream_id: str) -> None:
        """Confirms that the connection of a cut stream is closed."""
        await self.gate.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id), timeout=WAIT_S)


@dataclass
class Watched:
    """A stream that is pushed to an edge in one call."""

    edge: Edge
    stream_id: str
    media: Loop
    units: int
    """Number of units. The call stays open after the last."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_cut(self) -> tuple[float, str]:
        """Pushes until the CUT, then closes the connection. Returns the CUT's wall time and its incident."""
        async for answer in self.edge.gate.Watch(self._messages(), timeout=4 * WAIT_S):
            self.started.set()
            if answer.verdict.action == gate_pb2.ACTION_CUT:
                at = wall_ms()
                self.done.set()
                await self.edge.confirm(self.stream_id)
                return at, answer.verdict.incident_id
        raise TimeoutError("the stream ended without a cut")

    async def _messages(self) -> AsyncIterator[gate_pb2.WatchRequest]:
        media = self.media
        yield gate_pb2.WatchRequest(
            open=gate_pb2.WatchOpen(stream_id=self.stream_id, codec=media.codec, extradata=media.extradata)
        )
        start = time.monotonic()
        for unit in media.units[: self.units]:
            await asyncio.sleep(max(0.0, start + unit.dts_ms / 1000 - time.monotonic()))
            yield gate_pb2.WatchRequest(
                access_unit=gate_pb2.AccessUnit(
                    pts_ms=unit.pts_ms, dts_ms=unit.dts_ms, keyframe=unit.keyframe, data=unit.data
                )
            )
        await self.done.wait()


def wall_ms() -> float:
    return time.time_ns() / 1e6
