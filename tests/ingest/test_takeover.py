"""A publisher that comes back while its old connection still seems to be there."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from edge.contract.gen import gate_pb2
from edge.ingest import Admitted, Closed, Refused
from edge.ingest.rtmp import PublishRequest
from tests.ingest.test_hostile import AVCC, CONNECT, HANDSHAKE, command, video

if TYPE_CHECKING:
    from tests.ingest.conftest import Running, ScriptedGate, StartIngest

FRAME = b"\x17\x01\0\0\0"
BEFORE = PublishRequest("live", "cam", "anna", "203.0.113.7", "key", "", identity_proven=True)


@asynccontextmanager
async def publishing(
    running: Running, query: str, frame: bytes = b"frame"
) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that publishes one frame and then says nothing more, as behind a cut cable."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.ingest.port)
    writer.write(HANDSHAKE + bytes(1536) + CONNECT + command("publish", 3.0, None, f"cam?{query}", "live"))
    writer.write(video(AVCC) + video(FRAME + frame))
    try:
        yield reader
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("proven", "query"), [(True, "user=anna"), (True, "user=anna&key=k"), (False, "user=anna&key=k")]
)
async def test_the_new_connection_takes_over(
    gate: ScriptedGate, run_ingest: StartIngest, proven: bool, query: str
) -> None:
    running = await run_ingest(trust_user=proven)
    async with publishing(running, query, b"old") as old:
        await running.until(lambda: len(gate.units) == 1)
        async with publishing(running, query, b"new"):
            await running.until(lambda: len(gate.units) == 2)
            said = await asyncio.wait_for(old.read(), 90)
            assert b"NetStream.Publish.BadName" in said
            assert b"has taken over" in said
            assert [(event.stream_id, event.reason) for event in running.of(Closed)] == [("st_1", "replaced")]
            assert gate.ends == ["closed"]
            assert [unit.data for unit in gate.units] == [b"old", b"new"]
            assert gate.watching == 1


@pytest.mark.parametrize(
    ("proven", "first", "second"),
    [
        (False, "user=anna", "user=anna"),
        (False, "", ""),
        (False, "user=anna&key=k", "user=anna&key=guess"),
        (False, "user=anna&key=k", "user=anna"),
        (True, "user=anna", "user=berta"),
        (True, "user=anna&key=k", "user=anna&key=other"),
    ],
)
async def test_a_stranger_ends_nobodys_stream(
    gate: ScriptedGate, run_ingest: StartIngest, proven: bool, first: str, second: str
) -> None:
    running = await run_ingest(trust_user=proven)
    async with publishing(running, first), publishing(running, second):
        await running.until(lambda: len(running.of(Admitted)) == 2 and len(gate.units) == 2)
        assert gate.watching == 2
        assert running.of(Closed) == []


@pytest.mark.parametrize(
    "change",
    [{"app": "b"}, {"name": "b"}, {"broadcaster": "b"}, {"stream_key": "b"}, {"identity_proven": False}],
)
def test_only_the_same_publisher_takes_over(change: dict[str, Any]) -> None:
    other = dataclasses.replace(BEFORE, **change)
    assert BEFORE.takes_over(dataclasses.replace(BEFORE, address="198.51.100.1", token="another"))
    assert not other.takes_over(BEFORE)
    assert not BEFORE.takes_over(other)


async def test_a_place_that_the_old_connection_holds_goes_to_the_new_one(
    gate: ScriptedGate, run_ingest: StartIngest
) -> None:
    """With a quota of one stream a broadcaster could not come back before the old connection timed out."""
    running = await run_ingest(trust_user=True)
    gate.one_place = True
    async with publishing(running, "user=anna"):
        await running.until(lambda: len(gate.units) == 1)
        async with publishing(running, "user=berta"):
            await running.until(lambda: running.of(Refused))
        assert [event.reason for event in running.of(Closed)] == ["refused"]
        async with publishing(running, "user=anna"):
            await running.until(lambda: len(gate.units) == 2)
            assert [event.reason for event in running.of(Closed)] == ["refused", "replaced"]


async def test_a_publish_that_the_gate_refuses_takes_nothing_over(
    gate: ScriptedGate, run_ingest: StartIngest
) -> None:
    running = await run_ingest(trust_user=True)
    async with publishing(running, "user=anna"):
        await running.until(lambda: len(gate.units) == 1)
        gate.refuse = gate_pb2.AdmitResponse(allowed=False, reason=gate_pb2.REASON_CODE_BLOCKED)
        async with publishing(running, "user=anna"):
            await running.until(lambda: running.of(Refused))
        await running.until(lambda: running.of(Closed))
        assert [event.reason for event in running.of(Closed)] == ["refused"]
        assert gate.watching == 1
