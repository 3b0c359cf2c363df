"""Hostile clients on an open port. None stops the server or holds a place for ever."""

from __future__ import annotations

import asyncio
import os
import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.clock import SystemClock
from edge.domain import AccessUnit, Codec
from edge.ingest import Admitted, Closed, amf
from edge.ingest.chunks import encode_message
from edge.ingest.connection import Connection
from edge.ingest.gate_client import AdmittedStream, GateClient
from edge.ingest.message import Message, MessageType
from edge.ingest.relay import RelayedMessage
from edge.ingest.rtmp import MAX_OPENING_MESSAGES, PublishRequest, RtmpSession
from edge.ingest.settings import IngestSettings
from edge.ingest.watch_client import WatchClient

if TYPE_CHECKING:
    from tests.ingest.conftest import Running, ScriptedGate, StartIngest, StartPublisher

HANDSHAKE = b"\x03" + bytes(1536)


def command(*values: amf.AmfValue) -> bytes:
    return encode_message(Message(MessageType.COMMAND, 0, amf.encode(*values)), 3, 128)


CONNECT = command("connect", 1.0, {"app": "live", "fourCcList": ["hvc1", "av01"]})
PUBLISH = command("createStream", 2.0, None) + command("publish", 3.0, None, "cam?user=u", "live")
EMPTY = b"\x04\0\0\0\0\0\0\x08\1\0\0\0"
TINY = b"\x04\0\0\0\0\0\1\x08\1\0\0\0\0"
"""An audio message. Each type 3 chunk after it is another message."""
AVCC = b"\x17\x00\x00\x00\x00\x01\x64\x00\x0a\xff\xe1\x00\x00\x01\x00\x00"


def video(payload: bytes, timestamp: int = 0) -> bytes:
    return encode_message(Message(MessageType.VIDEO, timestamp, payload, 1), 6, 128)


async def converse(running: Running, data: bytes, hold: bool = False) -> bytes:
    """Sends bytes and reads until the server closes. With ``hold`` the client keeps its end open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.ingest.port)
    writer.write(data)
    async with asyncio.timeout(90):
        try:
            if not hold:
                writer.write_eof()
            answer = await reader.read()
        except OSError:
            answer = b""
    writer.close()
    return answer


async def closed(running: Running, count: int = 1) -> list[str]:
    await running.until(lambda: len(running.of(Closed)) >= count)
    return [event.reason for event in running.of(Closed)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "publisher"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "invalid_input"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "invalid_input"),
        (HANDSHAKE[:700], "publisher"),
        (HANDSHAKE + bytes(1536) + b"\xff" * 64, "invalid_input"),
        (HANDSHAKE + bytes(1536) + CONNECT + command("play", 3.0, None, "cam"), "invalid_input"),
        (HANDSHAKE + bytes(1536) + command("publish", 3.0, None, "n" * 900, "live"), "limit_exceeded"),
        (HANDSHAKE + bytes(1536) + CONNECT + command("publish", 3.0, None, "", "live"), "invalid_input"),
        (HANDSHAKE + bytes(1536) + b"\x03\0\0\0\xff\xff\xff\x14\0\0\0\0", "limit_exceeded"),
        (HANDSHAKE + bytes(1536) + CONNECT + EMPTY + b"\xc4" * 100, "limit_exceeded"),
        (HANDSHAKE + bytes(1536) + CONNECT + TINY + b"\xc4\0" * MAX_OPENING_MESSAGES, "limit_exceeded"),
    ],
    ids=[
        "nothing",
        "http",
        "tls",
        "half",
        "chunks",
        "player",
        "long name",
        "no name",
        "16 MiB command",
        "empty messages",
        "no publish",
    ],
)
async def test_what_is_no_publisher_is_closed_with_a_reason(
    gate: ScriptedGate, run_ingest: StartIngest, data: bytes, reason: str
) -> None:
    running = await run_ingest()
    await converse(running, data)
    assert await closed(running) == [reason]
    assert gate.admits == []


async def test_random_bytes_on_the_port_leave_the_server_whole(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest()
    prefixes = (b"", b"\x03", HANDSHAKE + bytes(1536), HANDSHAKE + bytes(1536) + CONNECT + PUBLISH)
    for index in range(40):
        await converse(running, prefixes[index % len(prefixes)] + os.urandom(3000))
    assert "error" not in await closed(running, 40)
    publisher = publish(footage, running.url())
    await publisher.done()
    assert not publisher.error


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.binary(max_size=40), max_size=6))
async def test_random_media_ends_with_a_counted_reason(
    run_ingest: StartIngest, messages: list[bytes]
) -> None:
    running = await run_ingest()
    before = len(running.of(Closed))
    media = b"".join(video(payload, index * 40) for index, payload in enumerate(messages))
    await converse(running, HANDSHAKE + bytes(1536) + CONNECT + PUBLISH + video(AVCC) + media)
    reasons = await closed(running, before + 1)
    assert set(reasons) <= {"publisher", "unsupported_codec", "invalid_input"}
    await running.ingest.stop()


async def test_messages_of_two_bytes_leave_a_turn_to_everybody_else() -> None:
    accepted: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(accepted.set_result), "127.0.0.1", 0
    )
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    count = 100_000
    data = HANDSHAKE + bytes(1536) + CONNECT + PUBLISH + TINY + b"\xc4\0" * (count - 1)
    writer.write(data)
    wire = await accepted
    async with asyncio.timeout(90):
        while len(wire._data) < len(data):  # noqa: ASYNC110 (there is nothing to be told by)
            await asyncio.sleep(0.01)
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(somebody_else())
    session = RtmpSession(wire, max_message_bytes=65536, handshake_timeout_s=90, idle_timeout_s=90)
    assert await session.accept() is not None
    seen = 0
    async for _ in session.media():
        seen += 1
        if seen == count:
            break
    assert turns > count // 128
    other.cancel()
    writer.close()
    await session.close()
    server.close()


async def test_tiny_frames_are_bounded_on_their_way_to_a_gate_that_takes_none() -> None:
    settings, counters = IngestSettings(max_pending_bytes=64 * 1024, gate_stall_s=0.05), Counter[str]()
    client = GateClient(settings)
    publish = PublishRequest("live", "cam", "u42", "192.0.2.7")
    watcher = WatchClient(
        client,
        publish,
        "rc_1",
        AdmittedStream("st_1"),
        settings,
        counters,
        lambda _: None,
        lambda _: None,
        SystemClock(),
        None,
    )
    message = RelayedMessage(Message(MessageType.VIDEO, 0, b"x"), 0, False, False)
    watcher.configure(Codec.H264, b"", message)
    watcher._connected.set()
    for index in range(1 + settings.max_pending_bytes // 256):
        await watcher.push(AccessUnit(index, index, index == 0, b"x", 0.0), message)
    assert counters["gate_stalls"] > 0
    await client.close()


async def test_a_publisher_that_dawdles_loses_its_place(gate: ScriptedGate, run_ingest: StartIngest) -> None:
    running = await run_ingest(handshake_timeout_s=0.2, idle_timeout_s=0.2)
    await converse(running, HANDSHAKE, hold=True)
    await converse(running, HANDSHAKE + bytes(1536) + CONNECT, hold=True)
    await converse(running, HANDSHAKE + bytes(1536) + CONNECT + PUBLISH, hold=True)
    assert await closed(running, 3) == ["timeout"] * 3


async def test_the_connection_that_publishes_nothing_longest_gives_way(
    gate: ScriptedGate, run_ingest: StartIngest
) -> None:
    running = await run_ingest(max_connections=2)
    reader, publisher = await asyncio.open_connection("127.0.0.1", running.ingest.port)
    publisher.write(HANDSHAKE + bytes(1536) + CONNECT + PUBLISH)
    await running.until(lambda: running.of(Admitted))
    idle = [await asyncio.open_connection("127.0.0.1", running.ingest.port) for _ in range(60)]
    await running.until(lambda: running.ingest.counters["idle_connections_closed"] == 59)
    assert running.ingest.counters["refused_connections"] == 0
    assert len(running.ingest._places) == 2
    await closed(running, 59)
    assert not reader.at_eof(), "who publishes keeps its place"
    for _, writer in (*idle, (reader, publisher)):
        writer.close()


async def test_connections_are_refused_only_where_all_publish(
    gate: ScriptedGate, run_ingest: StartIngest
) -> None:
    running = await run_ingest(max_connections=2)
    publishers = []
    for _ in range(2):
        _, writer = await asyncio.open_connection("127.0.0.1", running.ingest.port)
        writer.write(HANDSHAKE + bytes(1536) + CONNECT + PUBLISH)
        publishers.append(writer)
        await running.until(lambda: len(running.of(Admitted)) == len(publishers))
    assert await converse(running, HANDSHAKE) == b""
    assert running.ingest.counters["refused_connections"] == 1
    for writer in publishers:
        writer.close()


async def test_a_network_has_no_more_than_its_share(
    gate: ScriptedGate, run_ingest: StartIngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "peer", "203.0.113.7")
    running = await run_ingest(max_connections_per_address=2)
    strangers = [await asyncio.open_connection("127.0.0.1", running.ingest.port) for _ in range(20)]
    await running.until(lambda: running.ingest.counters["idle_connections_closed"] == 18)
    monkeypatch.setattr(Connection, "peer", "198.51.100.7")
    await converse(running, HANDSHAKE + bytes(1536) + CONNECT + PUBLISH)
    assert len(running.of(Admitted)) == 1, "another network has its own"
    for _, writer in strangers:
        writer.close()


async def test_places_go_back_with_their_connections_and_the_gate_learns_of_it(
    gate: ScriptedGate, run_ingest: StartIngest
) -> None:
    running = await run_ingest()
    for _ in range(4):
        flood = [converse(running, HANDSHAKE + bytes(1536) + CONNECT + PUBLISH) for _ in range(25)]
        await asyncio.gather(*flood)
    await closed(running, 100)
    assert len(running.ingest._places) == 0
    admitted = {event.stream_id for event in running.of(Admitted)}
    assert len(admitted) == 100
    assert set(gate.released) == admitted
    assert running.ingest.counters["refused_connections"] == 0


async def test_a_codec_that_cannot_be_watched_never_reaches_viewers(
    gate: ScriptedGate, run_ingest: StartIngest, tmp_path: Path
) -> None:
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"))
    answer = await converse(
        running, HANDSHAKE + bytes(1536) + CONNECT + PUBLISH + video(b"\x14\x00vp6"), hold=True
    )
    assert await closed(running) == ["unsupported_codec"]
    assert b"NetStream.Publish.Failed" in answer
    assert not (tmp_path / "cam.flv").exists()


async def test_frames_before_their_configuration_and_empty_ones_are_dropped_and_counted(
    gate: ScriptedGate, run_ingest: StartIngest, tmp_path: Path
) -> None:
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"))
    media = video(b"\x17\x01\0\0\0frame") + video(b"") + video(AVCC) + video(b"\x17\x01\0\0\0")
    await converse(running, HANDSHAKE + bytes(1536) + CONNECT + PUBLISH + media)
    await closed(running)
    counters = running.ingest.counters
    assert (counters["unconfigured_units"], counters["empty_units"], counters["video_units"]) == (1, 2, 0)


async def test_time_turned_back_is_not_shown_to_viewers_as_judged(
    gate: ScriptedGate, run_ingest: StartIngest, tmp_path: Path
) -> None:
    gate.cut_at_pts_ms = 5000
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"), hold_back=True)
    frame = b"\x17\x01\0\0\0"
    reader, writer = await asyncio.open_connection("127.0.0.1", running.ingest.port)
    writer.write(HANDSHAKE + bytes(1536) + CONNECT + PUBLISH)
    writer.write(video(AVCC) + video(frame + b"judged", 4998))
    await running.until(lambda: gate.units)
    # These times were cleared long ago. Taken at face value, these units would pass at once.
    gate.clears = False
    writer.write(b"".join(video(frame + f"unseen-{index}".encode(), 10 * index) for index in range(20)))
    assert await closed(running) == ["cut"]
    shown = (tmp_path / "cam.flv").read_bytes()
    assert b"judged" in shown
    assert b"unseen" not in shown
    writer.close()
    del reader


async def test_another_framing_opens_a_new_watch_call(gate: ScriptedGate, run_ingest: StartIngest) -> None:
    running = await run_ingest()
    frame = b"\x17\x01\0\0\0"
    other = AVCC[:9] + b"\xfd" + AVCC[10:]
    media = video(AVCC) + video(frame + b"one", 0) + video(AVCC, 20) + video(frame + b"two", 40)
    media += video(other, 80) + video(frame + b"three", 80) + video(frame + b"four", 120)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.ingest.port)
    writer.write(HANDSHAKE + bytes(1536) + CONNECT + PUBLISH + media)
    await running.until(lambda: len(gate.units) == 4)
    writer.close()
    await closed(running)
    assert [opened.extradata for opened in gate.opens] == [AVCC[5:], other[5:]]
    assert [unit.data for unit in gate.units] == [b"one", b"two", b"three", b"four"]
    assert gate.ends == ["reconfigured", "closed"]
    del reader


async def test_pings_are_answered_and_bytes_acknowledged(gate: ScriptedGate, run_ingest: StartIngest) -> None:
    running = await run_ingest()
    ping = Message(MessageType.USER_CONTROL, 0, struct.pack(">HI", 6, 0xABCDEF01))
    padding = b"".join(
        encode_message(Message(MessageType.AUDIO, index, bytes(60_000), 1), 4, 128) for index in range(100)
    )
    answer = await converse(
        running, HANDSHAKE + bytes(1536) + CONNECT + PUBLISH + encode_message(ping, 2, 128) + padding
    )
    assert struct.pack(">HI", 7, 0xABCDEF01) in answer
    assert b"\x02\x00\x00\x00\x00\x00\x04\x03" in answer, "an acknowledgement"
