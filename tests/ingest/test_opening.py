"""How a connection begins: what encoders send before their media, and what they are told."""

from __future__ import annotations

import asyncio
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.ingest import Closed, amf
from edge.ingest.chunks import ChunkReader, encode_message
from edge.ingest.flv import flv_tag
from edge.ingest.message import Message, MessageType
from tests.conftest import require
from tests.ingest.test_hostile import AVCC, CONNECT, HANDSHAKE, PUBLISH, command, converse

if TYPE_CHECKING:
    from tests.ingest.conftest import ScriptedGate, StartIngest

OPENING = HANDSHAKE + bytes(1536)
ANSWER_BYTES = 1 + 2 * 1536


def commands(answer: bytes) -> list[list[amf.AmfValue]]:
    """The commands of a server's answer, read as an encoder reads them."""
    reader = ChunkReader(1 << 20)
    reader.feed(answer[ANSWER_BYTES:])
    found = []
    while (message := reader.read()) is not None:
        if message.type_id == MessageType.COMMAND:
            found.append(amf.decode(message.payload))
    return found


@pytest.mark.parametrize("app", ["", "/", "?user=u"])
async def test_an_empty_app_is_refused_with_its_reason(
    gate: ScriptedGate, run_ingest: StartIngest, app: str
) -> None:
    """As OBS sends it for the server ``rtmp://host/``. The answer was in chunks that nobody could read."""
    running = await run_ingest()
    connect = command("connect", 1.0, {"app": app, "tcUrl": "rtmp://host/"})
    answer = await converse(running, OPENING + connect + PUBLISH, hold=True)
    [[name, transaction, _, information]] = commands(answer)
    assert (name, transaction) == ("_error", 1.0)
    assert isinstance(information, dict)
    assert information["code"] == "NetConnection.Connect.InvalidApp"
    assert "rtmp://HOST/APP/NAME" in str(information["description"])
    await running.until(lambda: running.of(Closed))
    assert running.of(Closed)[0].reason == "invalid_input"
    assert gate.admits == []


async def test_an_empty_name_is_refused_with_its_reason(gate: ScriptedGate, run_ingest: StartIngest) -> None:
    running = await run_ingest()
    answer = await converse(running, OPENING + CONNECT + command("publish", 3.0, None, "", "live"), hold=True)
    status = commands(answer)[-1]
    assert status[0] == "onStatus"
    assert isinstance(status[3], dict)
    assert status[3]["code"] == "NetStream.Publish.BadName"
    assert "rtmp://HOST/APP/NAME" in str(status[3]["description"])
    assert gate.admits == []


async def test_publish_before_connect_is_refused(gate: ScriptedGate, run_ingest: StartIngest) -> None:
    running = await run_ingest()
    await converse(running, OPENING + PUBLISH, hold=True)
    await running.until(lambda: running.of(Closed))
    assert "before connect" in running.of(Closed)[0].detail
    assert gate.admits == []


@pytest.mark.integration
@pytest.mark.parametrize("path", ["", "/", "/key"])
async def test_ffmpeg_is_told_that_its_url_names_no_stream(
    gate: ScriptedGate, run_ingest: StartIngest, footage: Path, path: str
) -> None:
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    running = await run_ingest()
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-nostdin", "-v", "error", "-i", str(footage), "-c", "copy", "-f", "flv"),
        f"rtmp://127.0.0.1:{running.ingest.port}{path}",
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode != 0
    assert b"rtmp://HOST/APP/NAME" in said
    assert gate.admits == []


async def test_media_in_aggregates_is_watched_and_relayed(
    gate: ScriptedGate, run_ingest: StartIngest, tmp_path: Path
) -> None:
    """As Flash Media Server and its relatives send it. It was neither watched nor relayed."""
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"))
    frame = b"\x17\x01\0\0\0"
    tags = [(AVCC, 5000), (frame + b"one", 5000), (frame + b"two", 5040)]
    packed = b"".join(flv_tag(Message(MessageType.VIDEO, 0, data), stamp) for data, stamp in tags)
    resize = encode_message(Message(MessageType.SET_CHUNK_SIZE, 0, struct.pack(">I", 4096)), 2, 128)
    media = encode_message(Message(MessageType.AGGREGATE, 200, packed, 1), 6, 4096)
    await converse(running, OPENING + CONNECT + PUBLISH + resize + media)
    await running.until(lambda: running.of(Closed))
    assert [(unit.data, unit.dts_ms) for unit in gate.units] == [(b"one", 200), (b"two", 240)]
    assert (tmp_path / "cam.flv").read_bytes().count(frame) == 2
