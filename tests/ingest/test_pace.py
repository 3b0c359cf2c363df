"""A publisher is read no faster than its media plays, whatever its timestamps say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from types import SimpleNamespace

import pytest

from edge.clock import ManualClock
from edge.domain import AccessUnit, Codec
from edge.ingest.media import MediaPath
from edge.ingest.message import Message, MessageType

LEAD_MS = 10_000
AUDIO = b"\xaf\x01" + bytes(100)


class _Session:
    """A publisher that sends everything at once."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages

    async def media(self) -> AsyncIterator[Message]:
        for message in self._messages:
            yield message


class _Watcher:
    configured = True
    codec = Codec.H264

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []

    async def push(self, unit: AccessUnit, message: object) -> None:
        self.units.append(unit)

    def push_audio(self, audio: object) -> None: ...

    def pass_on(self, message: object) -> None: ...


async def read(messages: list[Message], monkeypatch: pytest.MonkeyPatch) -> tuple[float, list[AccessUnit]]:
    """Reads everything. Returns the seconds that it took, and the units."""
    clock, watcher, counters = ManualClock(), _Watcher(), Counter[str]()

    async def sleep(seconds: float) -> None:
        clock.advance_ms(1000 * seconds)

    monkeypatch.setattr("edge.ingest.media.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    path = MediaPath(_Session(messages), watcher, counters, clock, LEAD_MS)  # type: ignore[arg-type]
    await path.run()
    assert bool(counters["paced_messages"]) == (clock.now_monotonic_ms > 0)
    return clock.now_monotonic_ms / 1000, watcher.units


def video(number: int, time_ms: int) -> Message:
    head = b"\x17\1\0\0\0" if number % 30 == 0 else b"\x27\1\0\0\0"
    return Message(MessageType.VIDEO, time_ms, head + b"\0\0\0\1x")


@pytest.mark.parametrize(
    ("step_ms", "least_s"), [(33, 18), (0, 4), (3_600_000, 4), (5000, 13)], ids=["honest", "0", "1 h", "5 s"]
)
async def test_video_is_read_at_its_pace(monkeypatch: pytest.MonkeyPatch, step_ms: int, least_s: int) -> None:
    """900 frames after a lead of 10 s. Stamps that say nothing count as a camera's of 60 frames a second."""
    messages = [video(number, step_ms * number & 0xFFFFFFFF) for number in range(900)]
    took_s, units = await read(messages, monkeypatch)
    assert least_s <= took_s <= least_s + 3
    assert len(units) == 900


@pytest.mark.parametrize(("step_ms", "least_s"), [(21, 8), (0, 4)])
async def test_audio_and_metadata_are_read_at_theirs(
    monkeypatch: pytest.MonkeyPatch, step_ms: int, least_s: int
) -> None:
    for kind, payload in ((MessageType.AUDIO, AUDIO), (MessageType.DATA, b"\x02\x00\x01x")):
        messages = [Message(kind, step_ms * number, payload) for number in range(900)]
        took_s, _ = await read(messages, monkeypatch)
        assert least_s <= took_s <= least_s + 2


async def test_what_the_gate_gets_has_good_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A calm gate wants the start of each GOP. Stamps that jump must not make that one frame."""
    clock, watcher = ManualClock(), _Watcher()

    class Live(_Session):
        async def media(self) -> AsyncIterator[Message]:
            async for message in super().media():
                clock.advance_ms(33)
                yield message

    messages = [video(number, 9000 * number & 0xFFFFFFFF) for number in range(300)]
    path = MediaPath(Live(messages), watcher, Counter(), clock, 1000)  # type: ignore[arg-type]
    await path.run()
    steps = [after.dts_ms - before.dts_ms for before, after in pairwise(watcher.units[60:])]
    assert max(steps) <= 50


async def test_a_burst_of_a_few_seconds_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    took_s, units = await read([video(number, 33 * number) for number in range(300)], monkeypatch)
    assert (took_s, len(units)) == (0, 300)
