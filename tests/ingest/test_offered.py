"""Nothing is relayed that the gate was not offered, whatever a publisher's decoder configurations do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import av
import grpc
import pytest

from edge.clock import SystemClock
from edge.contract.gen import gate_pb2
from edge.domain import AccessUnit, Codec, Tier
from edge.errors import InvalidInput, LimitExceeded
from edge.ingest import Closed, GateDown
from edge.ingest.chunks import encode_message
from edge.ingest.decoder_configuration import Change, DecoderConfiguration
from edge.ingest.gate_client import AdmittedStream, GateClient
from edge.ingest.held_audio import MOST_BYTES, HeldAudio
from edge.ingest.message import Message, MessageType
from edge.ingest.relay import Relay, RelayedMessage
from edge.ingest.rtmp import PublishRequest
from edge.ingest.settings import IngestSettings
from edge.ingest.watch_client import WatchClient
from tests.ingest.test_hostile import CONNECT, HANDSHAKE, PUBLISH, converse, video
from tests.ingest.test_server import access_units, frames

if TYPE_CHECKING:
    from tests.ingest.conftest import ScriptedGate, StartIngest

AVCC = bytes([1, 66, 192, 10, 0xFF, 0xE1, 0, 2, 0x67, 0x42, 1, 0, 2, 0x68, 0xCE])
OTHER = bytes([*AVCC[:-1], 0xCF])
"""Another picture parameter set."""
SHORT = bytes([*AVCC[:4], 0xFD, *AVCC[5:]])
"""Lengths of two bytes instead of four."""


def unit(index: int, *, keyframe: bool = False) -> AccessUnit:
    return AccessUnit(40 * index, 40 * index, keyframe, b"\0\0\0\1x", 0.0)


def relayed(number: int) -> RelayedMessage:
    return RelayedMessage(Message(MessageType.VIDEO, 0, b"%d" % number), 40 * number, False, number == 0)


# what a configuration changes


@pytest.mark.parametrize("tail", [b"\0", bytes(70_000)], ids=["a byte", "70 KiB"])
def test_a_configuration_that_sets_a_decoder_up_alike_changes_nothing(tail: bytes) -> None:
    configuration = DecoderConfiguration(1)
    configuration.set(Codec.H264, AVCC, 0)
    for _ in range(100):
        assert configuration.set(Codec.H264, AVCC + tail, 0) is Change.NONE
        assert configuration.set(Codec.H264, AVCC, 0) is Change.NONE


def test_another_configuration_comes_in_band_and_with_every_keyframe() -> None:
    configuration = DecoderConfiguration(1)
    configuration.set(Codec.H264, AVCC, 0)
    assert configuration.apply(unit(0, keyframe=True)) == unit(0, keyframe=True)
    assert configuration.set(Codec.H264, OTHER, 0) is Change.IN_BAND
    sets = b"\0\0\0\2\x67\x42\0\0\0\2\x68\xcf"
    shown = [configuration.apply(unit(i, keyframe=i == 3)).data for i in range(1, 4)]
    assert shown == [sets + unit(1).data, unit(2).data, sets + unit(3).data]
    assert configuration.record == AVCC


def test_another_framing_or_codec_needs_a_new_call() -> None:
    configuration = DecoderConfiguration(2)
    assert configuration.set(Codec.H264, AVCC, 0) is Change.REOPEN
    assert configuration.set(Codec.H264, SHORT, 0) is Change.REOPEN
    assert configuration.set(Codec.VP9, b"", 0) is Change.REOPEN
    assert (configuration.codec, configuration.record) == (Codec.VP9, b"")


def test_configurations_are_bounded_a_minute() -> None:
    configuration = DecoderConfiguration(3)
    configuration.set(Codec.H264, AVCC, 0)
    for index in range(3):
        configuration.set(Codec.H264, (OTHER, AVCC)[index % 2], 1000.0 * index)
    with pytest.raises(LimitExceeded, match="3 new configurations in a minute"):
        configuration.set(Codec.H264, AVCC, 59_999)
    assert configuration.set(Codec.H264, AVCC, 60_000) is Change.IN_BAND


def test_a_damaged_configuration_in_mid_stream_is_refused() -> None:
    configuration = DecoderConfiguration(3)
    configuration.set(Codec.H264, AVCC, 0)
    with pytest.raises(InvalidInput, match="extradata"):
        configuration.set(Codec.H264, AVCC[:9], 0)


# what reaches the relay


class _Recorder:
    """A relay's output that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def open_output(self) -> None: ...

    async def write_messages(self, batch: list[RelayedMessage]) -> None:
        self.got += [passed.message.payload for passed in batch]

    async def close(self) -> None: ...


class _Watching:
    """A WatchClient whose call the test opens and closes by hand, and what its relay has written."""

    def __init__(self, **settings: object) -> None:
        values = IngestSettings.model_validate({"relay": "x.flv", "gate_stall_s": 0.01, **settings})
        self.counters = Counter[str]()
        self.output = _Recorder()
        self.relay = Relay(self.output, values, self.counters, lambda _: None)
        publish = PublishRequest("live", "cam", "u42", "192.0.2.7")
        self.gate = GateClient(values)
        self.client = WatchClient(
            self.gate,
            publish,
            "rc_1",
            AdmittedStream("st_1"),
            values,
            self.counters,
            lambda _: None,
            lambda _: None,
            SystemClock(),
            self.relay,
        )

    def configure(self, record: bytes) -> None:
        message = Message(MessageType.VIDEO, 0, b"config")
        self.client.configure(Codec.H264, record, RelayedMessage(message, 0, True, False))

    async def push(self, numbers: Sequence[int], keyframes: Sequence[int] = (0,)) -> None:
        for number in numbers:
            await self.client.push(unit(number, keyframe=number in keyframes), relayed(number))

    def offered(self) -> list[int]:
        return [unit.dts_ms // 40 for unit in self.client._outbox]

    async def relayed(self) -> list[int]:
        self.relay.end()
        await self.relay.run()
        await self.gate.close()
        return [int(payload) for payload in self.output.got if payload != b"config"]


async def test_a_configuration_before_every_frame_hides_no_frame_from_the_gate() -> None:
    watching = _Watching(max_configurations_per_minute=1000)
    watching.configure(AVCC)
    watching.client._connected.set()
    for number in range(60):
        watching.configure((AVCC + b"\0", OTHER, AVCC)[number % 3])
        await watching.push([number])
    assert watching.offered() == list(range(60))
    assert await watching.relayed() == list(range(60))


async def test_what_the_gate_cannot_follow_is_not_relayed() -> None:
    watching = _Watching()
    watching.configure(AVCC)
    watching.client._connected.set()
    await watching.push([0, 1])
    watching.configure(SHORT)
    watching.client._connected.set()  # the new call is open
    await watching.push([2, 3, 4, 5], keyframes=[4])
    assert watching.offered() == [0, 1, 4, 5]
    assert watching.counters["unoffered_units"] == 2
    assert await watching.relayed() == [0, 1, 4, 5]


@pytest.mark.parametrize(("mode", "seen"), [("allow", [0, 1, 2]), ("deny", [0])])
async def test_what_is_relayed_without_a_gate_is_a_setting(mode: str, seen: list[int]) -> None:
    watching = _Watching(on_gate_down_stream=mode)
    watching.configure(AVCC)
    watching.client._connected.set()
    await watching.push([0])
    watching.client._feed.forget()  # as after a call that ended in a GOP too large to keep
    watching.client._connected.clear()
    await watching.push([1, 2])
    assert await watching.relayed() == seen


async def test_nothing_is_relayed_once_watching_has_ended_but_where_the_gate_needs_no_more() -> None:
    for released in (False, True):
        watching = _Watching()
        watching.configure(AVCC)
        watching.client._over, watching.client._released = True, released
        await watching.push([0, 1])
        assert await watching.relayed() == ([0, 1] if released else [])


# audio


def sound(number: int) -> RelayedMessage:
    return RelayedMessage(Message(MessageType.AUDIO, 0, b"%d" % number), 40 * number, False, False)


async def test_audio_waits_for_the_video_that_the_gate_is_offered() -> None:
    watching = _Watching()
    for number in (100, 101):
        watching.client.pass_on(sound(number))
    watching.configure(AVCC)
    watching.client._connected.set()
    watching.client.pass_on(sound(102))
    await watching.push([1])  # no keyframe yet
    assert not watching.relay._queue
    await watching.push([0])
    watching.client.pass_on(sound(103))
    watching.configure(SHORT)
    watching.client._connected.set()
    watching.client.pass_on(sound(104))
    await watching.push([3, 4], keyframes=[4])
    # Viewers' output begins with a keyframe: the relay itself leaves out what comes before the first.
    assert await watching.relayed() == [0, 103, 104, 4]


async def test_held_audio_is_bounded_and_the_oldest_goes_first() -> None:
    held, messages = HeldAudio(10_000), [sound(number) for number in range(1000, 9000)]
    most = MOST_BYTES // messages[0].size
    for message in messages[: most + 5]:
        held.hold(message)
    assert held.release() == messages[5 : most + 5]
    assert held.dropped == 5
    assert held.release() == []


async def test_a_stream_that_never_brings_video_ends_unless_a_setting_lets_it_pass() -> None:
    for mode in ("deny", "allow"):
        watching = _Watching(on_no_video=mode, no_video_s=0.05)
        watching.client.pass_on(sound(100))
        await asyncio.sleep(0.06)
        if mode == "deny":
            with pytest.raises(InvalidInput, match="on_no_video"):
                watching.client.pass_on(sound(101))
        else:
            watching.client.pass_on(sound(101))
        assert await watching.relayed() == ([] if mode == "deny" else [101])


async def test_a_stream_of_audio_alone_is_closed(
    gate: ScriptedGate, run_ingest: StartIngest, tmp_path: Path
) -> None:
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"), no_video_s=0.1)
    audio = encode_message(Message(MessageType.AUDIO, 0, b"\x2f" + bytes(100), 1), 6, 128)
    _, writer = await asyncio.open_connection("127.0.0.1", running.ingest.port)
    writer.write(HANDSHAKE + bytes(1536) + CONNECT + PUBLISH)
    while not running.of(Closed):
        writer.write(audio)
        await asyncio.sleep(0.02)
    writer.close()
    assert "on_no_video" in running.of(Closed)[0].detail
    with pytest.raises(FileNotFoundError):
        frames(tmp_path / "cam.flv")


async def test_a_pause_of_the_publisher_is_no_failure_of_the_gate(
    gate: ScriptedGate, run_ingest: StartIngest, footage: Path
) -> None:
    sent = HANDSHAKE + bytes(1536) + CONNECT + PUBLISH
    with av.open(str(footage)) as container:
        sent += video(b"\x17\0\0\0\0" + bytes(container.streams.video[0].codec_context.extradata or b""))
    for index, (_, dts_ms, payload) in enumerate(access_units(footage)[:11]):
        sent += video((b"\x27" if index else b"\x17") + b"\1\0\0\0" + payload, dts_ms)
    gate.fail_after, gate.fail_with, gate.reason = 10, grpc.StatusCode.DEADLINE_EXCEEDED, "source_stalled"
    running = await run_ingest(on_gate_down_stream="deny")
    _, writer = await asyncio.open_connection("127.0.0.1", running.ingest.port)
    writer.write(sent)
    await running.until(lambda: len(gate.opens) >= 2)
    assert not running.of(GateDown)
    assert not running.of(Closed)
    writer.close()


async def test_hold_back_lets_nothing_go_for_a_pts_that_was_judged() -> None:
    """The first frame claims to be a second later than it is. What follows claims times before that."""
    watching = _Watching(hold_back=True)
    watching.configure(AVCC)
    watching.client._connected.set()
    for number in range(20):
        shown = replace(unit(number, keyframe=number == 0), pts_ms=1000 if number == 0 else 40 * number)
        await watching.client.push(shown, relayed(number))
    watching.client._note_cleared(gate_pb2.WatchResponse(cleared_pts_ms=39, cleared_units=1))
    watching.client._note_cleared(gate_pb2.WatchResponse(cleared_pts_ms=1000, cleared_units=4))
    assert await watching.relayed() == [0, 1, 2, 3]


async def test_hold_back_follows_the_units_that_were_sent_from_a_call_to_the_next() -> None:
    watching = _Watching(hold_back=True)
    watching.configure(AVCC)
    watching.client._connected.set()
    feed = watching.client._feed
    feed.change(Tier.CALM, 80)
    await watching.push(range(10), keyframes=[0, 5])
    assert watching.offered() == [0, 1, 2, 5, 6, 7]
    watching.client._note_cleared(gate_pb2.WatchResponse(cleared_pts_ms=200, cleared_units=4))
    watching.client._unjudged.clear()  # another call: the running GOP is sent again
    watching.client._judged_units = 0
    watching.client._enqueue(feed.restart())
    watching.client._note_cleared(gate_pb2.WatchResponse(cleared_pts_ms=240, cleared_units=2))
    assert await watching.relayed() == [0, 1, 2, 3, 4, 5, 6]


async def test_hold_back_goes_by_pts_where_a_gate_counts_no_units() -> None:
    watching = _Watching(hold_back=True)
    watching.configure(AVCC)
    watching.client._connected.set()
    await watching.push(range(5))
    watching.client._note_cleared(gate_pb2.WatchResponse(cleared_pts_ms=80))
    assert await watching.relayed() == [0, 1, 2]


async def test_what_the_ingest_takes_from_no_publisher_is_told_to_the_gate(
    gate: ScriptedGate, run_ingest: StartIngest, footage: Path
) -> None:
    running = await run_ingest(max_message_bytes=64 * 1024)
    data = publish_bytes(footage, [b""]) + video(b"\x27\1\0\0\0" + bytes(65 * 1024), 10_000)
    await converse(running, data, hold=True)
    await running.until(lambda: running.of(Closed))
    assert running.of(Closed)[0].reason == "limit_exceeded"
    assert gate.ends == ["unwatchable"]


# over the wire


def publish_bytes(path: Path, tails: Sequence[bytes]) -> bytes:
    """The footage as RTMP. Before each frame comes its configuration, with one of ``tails`` behind it."""
    with av.open(str(path)) as container:
        record = bytes(container.streams.video[0].codec_context.extradata or b"")
    data = bytearray(HANDSHAKE + bytes(1536) + CONNECT + PUBLISH + video(b"\x17\0\0\0\0" + record))
    for index, (pts_ms, dts_ms, payload) in enumerate(access_units(path)):
        data += video(b"\x17\0\0\0\0" + record + tails[index % len(tails)], dts_ms)
        head = (b"\x17" if index % 25 == 0 else b"\x27") + b"\1" + (pts_ms - dts_ms).to_bytes(3, "big")
        data += video(head + payload, dts_ms)
    return bytes(data)


@pytest.mark.parametrize("hold_back", [False, True])
async def test_equivalent_configurations_change_nothing(
    gate: ScriptedGate, run_ingest: StartIngest, footage: Path, tmp_path: Path, hold_back: bool
) -> None:
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"), hold_back=hold_back)
    await converse(running, publish_bytes(footage, [b"", b"\0"]))
    await running.until(lambda: running.of(Closed))
    assert len(gate.opens) == 1
    assert [shown.data for shown in gate.units] == [data for _, _, data in access_units(footage)]
    assert len(frames(tmp_path / "cam.flv")) <= len(gate.units)


async def test_a_known_clip_behind_a_configuration_for_each_frame_is_cut(
    gate: ScriptedGate, run_ingest: StartIngest, footage: Path, tmp_path: Path
) -> None:
    gate.cut_at_pts_ms = 2000
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"), hold_back=True)
    await converse(running, publish_bytes(footage, [b"", b"\0"]))
    await running.until(lambda: running.of(Closed))
    assert running.of(Closed)[0].reason == "cut"
    assert max(frames(tmp_path / "cam.flv"), default=0) < 2000


async def test_configurations_without_end_end_the_stream(
    gate: ScriptedGate, run_ingest: StartIngest, footage: Path
) -> None:
    with av.open(str(footage)) as container:
        record = bytes(container.streams.video[0].codec_context.extradata or b"")
    short = bytes([*record[:4], record[4] & ~3 | 1, *record[5:]])
    running = await run_ingest(max_configurations_per_minute=5)
    data = HANDSHAKE + bytes(1536) + CONNECT + PUBLISH
    for index in range(20):
        data += video(b"\x17\0\0\0\0" + (record, short)[index % 2], 40 * index)
    async with asyncio.timeout(90):
        await converse(running, data, hold=True)
    await running.until(lambda: running.of(Closed))
    assert running.of(Closed)[0].reason == "limit_exceeded"
    assert "configurations in a minute" in running.of(Closed)[0].detail
