"""A slow caller loses PASS answers and nothing else."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from edge.contract.gen import gate_pb2
from edge.errors import BrokenMedia
from edge.supervise.response_queue import Answers

PASS, FLAG, CUT = gate_pb2.ACTION_PASS, gate_pb2.ACTION_FLAG, gate_pb2.ACTION_CUT


def verdict(action: gate_pb2.Action.ValueType, cleared: int) -> gate_pb2.WatchResponse:
    return gate_pb2.WatchResponse(cleared_pts_ms=cleared, verdict=gate_pb2.Verdict(action=action))


async def everything(answers: Answers) -> list[gate_pb2.WatchResponse]:
    answers.close()
    read = []
    while (answer := await answers.get()) is not None:
        read.append(answer)
    return read


@given(st.lists(st.sampled_from([PASS, PASS, PASS, PASS, FLAG]), max_size=60))
def test_order_is_kept_and_actions_survive(actions: list[gate_pb2.Action.ValueType]) -> None:
    async def run() -> None:
        limit = max(8, actions.count(FLAG) + 2)
        answers = Answers(limit)
        for index, action in enumerate(actions):
            answers.put(verdict(action, index))
        answers.put(verdict(CUT, len(actions)))
        read = await everything(answers)
        assert len(read) <= limit
        cleared = [answer.cleared_pts_ms for answer in read]
        assert cleared == sorted(cleared)
        kept = [answer.verdict.action for answer in read]
        assert kept.count(FLAG) == actions.count(FLAG)
        assert kept[-1] == CUT
        assert len(read) + answers.dropped == len(actions) + 1

    asyncio.run(run())


async def test_reader_waits_and_is_woken_by_put_and_close() -> None:
    answers = Answers(8)
    reading = asyncio.create_task(answers.get())
    await asyncio.sleep(0)
    assert not reading.done()
    answers.put(verdict(PASS, 1))
    assert (await reading) is not None
    reading = asyncio.create_task(answers.get())
    await asyncio.sleep(0)
    error = BrokenMedia("x")
    answers.close(error)
    answers.close()
    assert await reading is None
    assert answers.error is error
    answers.put(verdict(PASS, 2))
    assert await answers.get() is None
