"""The relay passes everything unchanged. With hold-back it passes only what was cleared."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from edge.errors import ConfigError
from edge.ingest import Admitted, Closed, RelayDown
from edge.ingest.message import Message, MessageType
from edge.ingest.relay import Relay, RelayedMessage, RtmpOutput, open_output
from edge.ingest.rtmp import PublishRequest
from edge.ingest.settings import IngestSettings, ingest_settings

PATIENCE_S = 60.0

if TYPE_CHECKING:
    from tests.ingest.conftest import ScriptedGate, StartIngest, StartPublisher


def packets(path: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Presentation times and bytes of each kind of media in a file."""
    out: dict[str, list[tuple[int, bytes]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.dts is not None:
                out.setdefault(packet.stream.type, []).append((packet.pts or 0, bytes(packet)))
    return out


async def test_a_file_gets_frame_and_audio_unchanged(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path, tmp_path: Path
) -> None:
    running = await run_ingest(relay=str(tmp_path / "{app}-{name}.flv"))
    await publish(footage, running.url()).done()
    await running.until(lambda: running.of(Closed))
    assert packets(tmp_path / "live-cam.flv") == packets(footage)


async def test_another_rtmp_server_gets_it_too(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path, tmp_path: Path
) -> None:
    viewers = await run_ingest(relay=str(tmp_path / "{name}.flv"))
    edge = await run_ingest(relay=f"rtmp://127.0.0.1:{viewers.ingest.port}/out/{{name}}?user=relay")
    await publish(footage, edge.url()).done()
    await viewers.until(lambda: viewers.of(Closed))
    assert [event.publish.broadcaster for event in viewers.of(Admitted)] == ["relay"]
    assert packets(tmp_path / "cam.flv") == packets(footage)


async def test_hold_back_leaks_nothing_of_what_is_cut(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path, tmp_path: Path
) -> None:
    gate.cut_at_pts_ms = 3000
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"), hold_back=True)
    await publish(footage, running.url(), pace=0.002).done()
    await running.until(lambda: running.of(Closed))
    assert running.of(Closed)[0].reason == "cut"
    relayed = packets(tmp_path / "cam.flv")
    assert max(pts for kind in relayed.values() for pts, _ in kind) < 3000
    original = packets(footage)
    for kind, media in relayed.items():
        assert media == original[kind][: len(media)], "in order, nothing lost in between"
    assert len(relayed["video"]) > 50
    assert running.ingest.counters["hold_back_dropped"] > 0


async def test_hold_back_passes_a_clean_stream_whole(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path, tmp_path: Path
) -> None:
    running = await run_ingest(relay=str(tmp_path / "{name}.flv"), hold_back=True)
    await publish(footage, running.url()).done()
    await running.until(lambda: running.of(Closed))
    assert packets(tmp_path / "cam.flv") == packets(footage)


@pytest.mark.parametrize("mode", ["deny", "allow"])
async def test_hold_back_is_bounded_when_the_gate_does_not_judge(
    gate: ScriptedGate,
    run_ingest: StartIngest,
    publish: StartPublisher,
    footage: Path,
    tmp_path: Path,
    mode: str,
) -> None:
    gate.clears = False
    running = await run_ingest(
        relay=str(tmp_path / "{name}.flv"), hold_back=True, hold_back_max_ms=300, on_gate_down_stream=mode
    )
    publisher = publish(footage, running.url(), pace=0.003)
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    if mode == "deny":
        assert publisher.error
        assert running.of(Closed)[0].reason == "gate_unavailable"
        assert not (tmp_path / "cam.flv").exists()
    else:
        assert not publisher.error
        assert packets(tmp_path / "cam.flv") == packets(footage)
        assert running.ingest.counters["hold_back_overruns"] > 0


async def test_a_relay_that_is_away_does_not_stall_the_ingest(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest(relay="rtmp://127.0.0.1:1/live/{name}", relay_max_bytes=64 * 1024)
    publisher = publish(footage, running.url())
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert not publisher.error
    assert len(gate.units) == 250
    assert running.of(RelayDown)
    assert running.ingest.counters["relay_dropped"] > 0


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://h:99999/live/KEY",
        "rtmp://[::1/live/KEY",
        f"rtmp://{'a' * 64}.example/live/KEY",
        "rtmp://h/KEY",
    ],
)
def test_a_relay_that_cannot_be_is_refused_at_once_without_its_key(url: str) -> None:
    with pytest.raises(ConfigError, match="relay") as refused:
        ingest_settings(relay=url)
    assert "KEY" not in str(refused.value)


async def test_a_place_that_a_publisher_makes_impossible_is_tried_again() -> None:
    down: list[str] = []
    relay = Relay(
        RtmpOutput("rtmp://h:99999/live/KEY"), ingest_settings(), Counter(), down.append, retry_s=0.01
    )
    running = asyncio.create_task(relay.run())
    for _ in range(2):
        relay.offer(RelayedMessage(Message(MessageType.VIDEO, 0, b"\x17\x01"), 0, False, True), 0, 0.0)
        told = len(down)
        for _ in range(int(PATIENCE_S / 0.01)):
            if len(down) > told:
                break
            await asyncio.sleep(0.01)
        assert len(down) > told
    relay.end()
    await running
    assert all("KEY" not in said for said in down)


async def test_a_relay_that_takes_nothing_does_not_stall_the_ingest(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    running = await run_ingest(relay=f"rtmp://127.0.0.1:{port}/live/{{name}}")
    publisher = publish(footage, running.url())
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert not publisher.error
    assert len(gate.units) == 250
    server.close()


class _Recorder:
    """An output that fails a given number of times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.opened = 0
        self.written: list[RelayedMessage] = []

    async def open_output(self) -> None:
        self.opened += 1

    async def write_messages(self, batch: list[RelayedMessage]) -> None:
        if self.failures and not batch[-1].config:
            self.failures -= 1
            raise ConnectionResetError("as told")
        self.written += batch

    async def close(self) -> None:
        pass


async def test_an_output_that_fails_starts_again_with_configuration_and_keyframe() -> None:
    output, counters = _Recorder(failures=1), Counter[str]()
    down: list[str] = []
    relay = Relay(output, IngestSettings(relay="x.flv"), counters, down.append, retry_s=0.01)
    task = asyncio.create_task(relay.run())

    def offer(index: int, config: bool = False, keyframe: bool = False) -> None:
        message = Message(MessageType.VIDEO, index, bytes([index]))
        relay.offer(RelayedMessage(message, index, config, keyframe), index, 0.0)

    offer(0, config=True)
    offer(1, keyframe=True)
    while not down:  # noqa: ASYNC110 (there is nothing to be told by)
        await asyncio.sleep(0)
    offer(2)
    offer(3, keyframe=True)
    offer(4)
    while len(output.written) < 4:  # noqa: ASYNC110
        await asyncio.sleep(0)
    relay.end()
    await task
    # The configuration of the first attempt, then everything that the second attempt needs.
    assert [passed.message.payload[0] for passed in output.written] == [0, 0, 3, 4]
    assert output.opened == 2
    assert counters["relay_failures"] == 1
    assert counters["relay_dropped"] == 1


class _Stuck(_Recorder):
    """An output that takes one batch and finishes it only when told."""

    def __init__(self) -> None:
        super().__init__(failures=0)
        self.goes_on = asyncio.Event()

    async def write_messages(self, batch: list[RelayedMessage]) -> None:
        self.written += batch
        if batch and not batch[0].config:
            await self.goes_on.wait()


def audio(index: int, payload: bytes = b"", config: bool = False) -> RelayedMessage:
    return RelayedMessage(Message(MessageType.AUDIO, index, payload), index, config, False)


async def test_after_a_cut_nothing_follows_what_is_being_written() -> None:
    output, counters = _Stuck(), Counter[str]()
    relay = Relay(output, IngestSettings(relay="x.flv"), counters, lambda detail: None)
    for index in range(100):
        relay.offer(audio(index, bytes(10_000)), index, 0.0)
    task = asyncio.create_task(relay.run())
    while not output.written:  # noqa: ASYNC110 (there is nothing to be told by)
        await asyncio.sleep(0)
    relay.stop_viewing()
    output.goes_on.set()
    await task
    assert len(output.written) == 6
    assert counters["relay_dropped"] == 94


def test_empty_messages_count_where_they_wait() -> None:
    counters = Counter[str]()
    bounds = {"relay": "x.flv", "relay_max_bytes": 65536, "hold_back_max_bytes": 65536}
    relay = Relay(_Recorder(0), IngestSettings.model_validate(bounds), counters, lambda detail: None)
    held = IngestSettings.model_validate({**bounds, "hold_back": True, "on_gate_down_stream": "deny"})
    holding = Relay(_Recorder(0), held, counters, lambda detail: None)
    for index in range(1000):
        relay.offer(audio(index), index, 0.0)
        holding.offer(audio(index), index, 0.0)
    assert counters["relay_dropped"] > 500
    assert holding.overrun


async def test_what_is_held_waits_for_its_video_whatever_its_own_stamp_says() -> None:
    output = _Recorder(0)
    settings = IngestSettings.model_validate({"relay": "x.flv", "hold_back": True})
    relay = Relay(output, settings, Counter(), lambda detail: None)
    relay.offer(audio(0), 100, 0.0)
    relay.offer(audio(1), 140, 0.0)
    relay.clear(100, 0.0)
    relay.end()
    await relay.run()
    assert [passed.timestamp_ms for passed in output.written] == [0]


async def test_configurations_that_change_all_the_time_are_bounded_and_the_last_ones_arrive() -> None:
    output, counters = _Stuck(), Counter[str]()
    settings = IngestSettings(relay="x.flv", relay_max_bytes=65536)
    relay = Relay(output, settings, counters, lambda detail: None)
    relay.offer(audio(0, b"sound"), 0, 0.0)
    task = asyncio.create_task(relay.run())
    while not output.written:  # noqa: ASYNC110 (there is nothing to be told by)
        await asyncio.sleep(0)
    video = RelayedMessage(Message(MessageType.VIDEO, 1, b"of the video"), 1, True, True)
    relay.offer(video, 1, 0.0)
    for index in range(2, 100):
        relay.offer(audio(index, bytes([index]) * 10_000, config=True), index, 0.0)
    relay.end()
    output.goes_on.set()
    await task
    later = [passed.message.payload for passed in output.written[1:]]
    assert sum(map(len, later)) < 65536
    assert video.message.payload in later
    assert later[-1] == bytes([99]) * 10_000


def test_a_publisher_cannot_name_a_folder(tmp_path: Path) -> None:
    publish = PublishRequest("../..", "../etc/passwd", "b", "a")
    output = open_output(str(tmp_path / "{app}" / "{name}.flv"), publish, "st_1")
    path: Path = output._path  # type: ignore[attr-defined]
    assert path.parent.parent == tmp_path
    assert path.name == "___etc_passwd.flv"
