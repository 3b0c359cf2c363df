"""A pull as the supervisor sees it, with a puller that may say anything."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import AccessUnit
from edge.errors import BrokenSource, Fault, GateError, SourceStalled
from edge.pullers.limits import PullLimits
from edge.pullers.pull import Pull
from edge.reasons import CloseReason
from edge.workers.closing import Closing
from edge.workers.ipc_framing import frame, media_frame
from tests.pullers.pulling import until_end

LIMITS = PullLimits(open_ms=1000, stall_ms=2000, max_access_unit_bytes=1000)
SHOWN = "rtmp://host/live/x"
OPENED = frame(worker_pb2.FromPuller(opened=worker_pb2.PullOpened(codec="h264")))
AUDIO = frame(worker_pb2.FromPuller(audio=gate_pb2.AudioUnits(codec="aac")))
UNIT = media_frame("", AccessUnit(1, 2, True, b"data", 0.0))
END = frame(worker_pb2.FromPuller(ended=Closing(CloseReason.END).to_proto("", 0)))


class Scripted:
    """A process whose socket the test holds."""

    def __init__(self) -> None:
        self.exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.killed = self.released = False
        self.theirs: socket.socket

    async def launch(self) -> tuple[Scripted, socket.socket]:
        ours, self.theirs = socket.socketpair()
        return self, ours

    def kill(self) -> None:
        self.killed = True

    def release(self) -> None:
        self.released = True


async def after(*said: bytes, code: int | None = None) -> tuple[list[object], GateError | None, Scripted]:
    """What a pull gives whose puller says this and ends."""
    process = Scripted()
    pull = Pull(SHOWN, worker_pb2.OpenPull(), LIMITS, process)
    reading = asyncio.create_task(until_end(pull))
    await asyncio.sleep(0)
    await asyncio.to_thread(process.theirs.recv, 4096)  # its OpenPull
    process.theirs.sendall(b"".join(said))
    process.theirs.close()
    process.exit_code.set_result(code or 0)
    events, error = await reading
    return list(events), error, process


async def test_what_a_puller_says_in_order() -> None:
    events, error, _ = await after(OPENED, UNIT, AUDIO, UNIT, END)
    assert [type(event) for event in events] == [
        worker_pb2.PullOpened,
        AccessUnit,
        gate_pb2.AudioUnits,
        AccessUnit,
    ]
    assert error is None


@pytest.mark.parametrize(
    "said",
    [
        (UNIT,),
        (OPENED, OPENED),
        (OPENED, frame(worker_pb2.FromPuller())),
        (OPENED, struct.pack("<I", 0x7FFF_FFFF)),
        (OPENED, struct.pack("<I", 0xFFFF_FFFF)),
        (OPENED, struct.pack("<I", 3) + b"\xff\xff\xff"),
        (OPENED, struct.pack("<I", 0x8000_0003) + b"abc"),
    ],
    ids=["unit-first", "opened-twice", "nothing", "long", "long-unit", "no-message", "short-unit"],
)
async def test_what_makes_no_sense_ends_the_pull_as_damage(said: tuple[bytes, ...]) -> None:
    """A puller that its source has taken over may say anything."""
    _, error, process = await after(*said)
    assert isinstance(error, BrokenSource)
    assert process.killed


async def test_errors_keep_their_kind() -> None:
    stalled = Closing.by(SourceStalled("no video"), retryable=False).to_proto("", 0)
    events, error, _ = await after(frame(worker_pb2.FromPuller(ended=stalled)))
    assert events == []
    assert isinstance(error, SourceStalled)
    assert SHOWN in str(error)


@pytest.mark.parametrize(
    ("code", "fault"), [(-signal.SIGSEGV, Fault.PUBLISHER), (-signal.SIGKILL, Fault.GATE), (71, Fault.GATE)]
)
async def test_a_puller_that_ends_without_a_word(code: int, fault: Fault) -> None:
    _, error, _ = await after(OPENED, code=code)
    assert error is not None
    assert error.fault is fault
    assert error.retryable


async def test_the_watchdog_counts_only_time_in_which_video_is_waited_for() -> None:
    process = Scripted()
    pull = Pull(SHOWN, worker_pb2.OpenPull(), LIMITS, process)
    opening = asyncio.create_task(pull.next())
    await asyncio.sleep(0)
    pull.beat(900.0)
    process.theirs.sendall(OPENED)
    await opening
    for _ in range(10):  # the consumer is slow
        pull.beat(1000.0)
    assert not process.killed
    for _ in range(3):  # video comes just in time
        waiting = asyncio.create_task(pull.next())
        await asyncio.sleep(0)
        pull.beat(1900.0)
        process.theirs.sendall(UNIT)
        await waiting
    process.theirs.sendall(AUDIO)
    waiting = asyncio.create_task(pull.next())
    await asyncio.sleep(0)
    pull.beat(1500.0)
    assert isinstance(await waiting, gate_pb2.AudioUnits)
    waiting = asyncio.create_task(pull.next())
    await asyncio.sleep(0)
    pull.beat(600.0)
    with pytest.raises(SourceStalled, match="no video for 2000 ms"):
        await waiting
    assert process.killed


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.sampled_from([OPENED, UNIT, AUDIO, END]), st.binary(max_size=40)), max_size=8))
def test_no_puller_gets_anything_but_an_answer_or_an_end(said: list[bytes]) -> None:
    _, error, _ = asyncio.run(after(*said))
    assert error is None or isinstance(error, GateError)
