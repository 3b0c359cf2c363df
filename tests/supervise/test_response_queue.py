"""A slow caller loses PASS answers and nothing else."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from edge.contract.gen import gate_pb2
from edge.errors import BrokenMedia
from edge.supervise.response_queue import ResponseQueue

PASS, FLAG, CUT = gate_pb2.ACTION_PASS, gate_pb2.ACTION_FLAG, gate_pb2.ACTION_CUT


def verdict(action: gate_pb2.Action.ValueType, cleared: int) -> gate_pb2.WatchResponse:
    return gate_pb2.WatchResponse(cleared_pts_ms=cleared, verdict=gate_pb2.Verdict(action=action))


async def everything(responses: ResponseQueue) -> list[gate_pb2.WatchResponse]:
    responses.close()
    read = []
    while (answer := await responses.get()) is not None:
        read.append(answer)
    return read


@given(st.lists(st.sampled_from([PASS, PASS, PASS, PASS, FLAG]), max_size=60))
def test_order_is_kept_and_actions_survive(actions: list[gate_pb2.Action.ValueType]) -> None:
    async def run() -> None:
        limit = max(8, actions.count(FLAG) + 2)
        responses = ResponseQueue(limit)
        for index, action in enumerate(actions):
            responses.put(verdict(action, index))
        responses.put(verdict(CUT, len(actions)))
        read = await everything(responses)
        assert len(read) <= limit
        cleared = [answer.cleared_pts_ms for answer in read]
        assert cleared == sorted(cleared)
        kept = [answer.verdict.action for answer in read]
        assert kept.count(FLAG) == actions.count(FLAG)
        assert kept[-1] == CUT
        assert len(read) + responses.dropped == len(actions) + 1

    asyncio.run(run())


async def test_reader_waits_and_is_woken_by_put_and_close() -> None:
    responses = ResponseQueue(8)
    reading = asyncio.create_task(responses.get())
    await asyncio.sleep(0)
    assert not reading.done()
    responses.put(verdict(PASS, 1))
    assert (await reading) is not None
    reading = asyncio.create_task(responses.get())
    await asyncio.sleep(0)
    error = BrokenMedia("x")
    responses.close(error)
    responses.close()
    assert await reading is None
    assert responses.error is error
    responses.put(verdict(PASS, 2))
    assert await responses.get() is None
