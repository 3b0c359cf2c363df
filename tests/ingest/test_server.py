"""The reference ingest against a real gRPC gate and FFmpeg's real RTMP client."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av
import grpc
import pytest

from edge.contract.gen import gate_pb2
from edge.domain import Tier
from edge.ingest import (
    Admitted,
    Closed,
    CutConfirmed,
    Event,
    GateDown,
    Judged,
    Refused,
    TierChanged,
    gate_channel,
)

if TYPE_CHECKING:
    from tests.ingest.conftest import ScriptedGate, StartIngest, StartPublisher


def frames(path: Path) -> list[int]:
    """Presentation times of the decoded frames, in milliseconds."""
    with av.open(str(path)) as container:
        return [round(frame.time * 1000) for frame in container.decode(video=0) if frame.time is not None]


def access_units(path: Path) -> list[tuple[int, int, bytes]]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.dts is not None]
        return [(packet.pts or 0, packet.dts or 0, bytes(packet)) for packet in packets]


class Cable:
    """A link to the gate. Once cut, it carries nothing, and neither end is told."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._carrying: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.address = ""
        self.cut = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._carrying:
            task.cancel()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, int(self._port))
        for ends in ((reader, back), (there, writer)):
            self._carrying.add(asyncio.create_task(self._carry(*ends)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self.cut:
                    writer.write(data)


async def test_what_is_admitted_is_watched_whole_and_unchanged(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest()
    publisher = publish(footage, running.url())
    await publisher.done()
    await running.until(lambda: running.of(Closed))

    assert not publisher.error
    [admit] = gate.admits
    assert (admit.server, admit.app, admit.name) == ("reference", "live", "cam")
    assert (admit.broadcaster, dict(admit.attributes)) == ("u42", {"stream_key": "sek"})
    assert admit.address == "127.0.0.1"
    [opened] = gate.opens
    with av.open(str(footage)) as container:
        assert opened.extradata == container.streams.video[0].codec_context.extradata
    assert (opened.stream_id, opened.codec) == ("st_1", "h264")
    assert [(unit.pts_ms, unit.dts_ms, unit.data) for unit in gate.units] == access_units(footage)
    assert sum(unit.keyframe for unit in gate.units) == 10
    assert gate.ends == ["closed"]
    assert [event.stream_id for event in running.of(Admitted)] == ["st_1"]
    assert [event.reason for event in running.of(Closed)] == ["publisher"]


async def test_without_a_user_the_stream_itself_is_the_broadcaster(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest()
    await publish(footage, running.url(query="")).done()
    assert [admit.broadcaster for admit in gate.admits] == ["live/cam"]


async def test_a_repeated_query_key_does_not_override_the_first(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest()
    await publish(footage, running.url(query="user=blocked&user=innocent")).done()
    assert [admit.broadcaster for admit in gate.admits] == ["blocked"]


async def test_a_refused_publish_sends_no_media(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.refuse = gate_pb2.AdmitResponse(
        allowed=False,
        reason=gate_pb2.REASON_CODE_BLOCKED,
        message=gate_pb2.Message(en="Blocked until tomorrow.", ar="محظور حتى الغد."),
    )
    running = await run_ingest()
    publisher = publish(footage, running.url())
    await publisher.done()

    assert publisher.error
    await running.until(lambda: running.of(Closed))
    [refused] = running.of(Refused)
    assert refused.answer is not None
    assert refused.answer.reason == gate_pb2.REASON_CODE_BLOCKED
    assert running.of(Closed)[0].reason == "refused"
    assert gate.opens == []


async def test_a_cut_closes_the_publisher_and_is_confirmed(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.cut_at_pts_ms = 2000
    running = await run_ingest()
    publisher = publish(footage, running.url(), pace=0.002)
    await publisher.done()
    await running.until(lambda: running.of(CutConfirmed))

    assert publisher.error, "the connection was closed under it"
    assert publisher.sent < 650, "it was closed long before the end"
    [confirmed] = gate.confirmed
    assert confirmed.stream_id == "st_1"
    await running.until(lambda: running.of(Closed))
    closed = running.of(Closed)[0]
    assert closed.reason == "cut"
    assert closed.wall_ms == confirmed.closed_wall_ms
    assert "Your stream was cut." in closed.detail
    assert "تم قطع البث." in closed.detail
    judged = running.of(Judged)
    assert judged[-1].verdict.action == gate_pb2.ACTION_CUT
    assert running.events.index(judged[-1]) < running.events.index(running.of(CutConfirmed)[0])


async def test_a_cut_that_comes_after_the_publisher_left_is_confirmed(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.cut_at_pts_ms = access_units(footage)[-1][0]
    running = await run_ingest()
    await publish(footage, running.url()).done()
    await running.until(lambda: running.of(Closed))
    assert running.of(Closed)[0].reason == "cut"
    assert [request.stream_id for request in gate.confirmed] == ["st_1"]


async def test_two_publishers_are_two_streams(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest()
    first = publish(footage, running.url("one", "user=a"), pace=0.001)
    second = publish(footage, running.url("two", "user=b"), pace=0.001)
    await running.until(lambda: gate.watching == 2)
    await asyncio.gather(first.done(), second.done())
    await running.until(lambda: len(running.of(Closed)) == 2)
    assert (first.error, second.error) == ("", "")
    assert sorted(admit.broadcaster for admit in gate.admits) == ["a", "b"]
    assert len({admit.connection for admit in gate.admits}) == 2
    assert len(gate.units) == 2 * len(access_units(footage))


async def test_a_publisher_that_disappears_ends_the_watching(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest()
    publisher = publish(footage, running.url(), pace=0.01)
    await running.until(lambda: len(gate.units) > 20)
    publisher.kill()
    await running.until(lambda: running.of(Closed))
    assert running.of(Closed)[0].reason == "publisher"
    assert gate.ends == ["closed"]
    await running.until(lambda: gate.watching == 0)


async def test_a_calm_gate_gets_what_it_needs_and_an_alert_one_the_whole_gop(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.opening_tier = gate_pb2.TierChange(tier=gate_pb2.TIER_KIND_CALM, needed_after_keyframe_ms=200)
    running = await run_ingest()
    publisher = publish(footage, running.url(), pace=0.004)
    await running.until(lambda: sum(unit.keyframe for unit in gate.units) >= 3)
    publisher.kill()
    await running.until(lambda: running.of(Closed))
    assert running.of(TierChanged)[0].tier is Tier.CALM
    gops: list[list[int]] = []
    for unit in gate.units:
        if unit.keyframe:
            gops.append([])
        gops[-1].append(unit.dts_ms)
    for gop in gops:
        assert gop[-1] - gop[0] <= 200
    assert len(gops[1]) == 6


@pytest.mark.parametrize(("mode", "reason"), [("deny", "refused"), ("allow", "publisher")])
async def test_admission_without_a_gate_is_a_setting(
    gate: ScriptedGate,
    run_ingest: StartIngest,
    publish: StartPublisher,
    footage: Path,
    mode: str,
    reason: str,
) -> None:
    await gate.stop()
    running = await run_ingest(on_gate_down_admission=mode, admit_timeout_s=0.5)
    publisher = publish(footage, running.url())
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert (not publisher.error) == (mode == "allow")
    assert running.of(Closed)[0].reason == reason
    assert running.of(GateDown)
    assert running.ingest.counters[f"admission_{mode}_without_gate"] == 1


async def test_a_gate_that_fails_is_tried_again_and_shown_the_whole_gop(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.fail_after = 60
    running = await run_ingest()
    await publish(footage, running.url(), pace=0.003).done()
    await running.until(lambda: running.of(Closed))
    assert running.of(Closed)[0].reason == "publisher"
    assert len(gate.opens) > 1
    assert running.ingest.counters["gate_down"] >= 1
    calls = [index for index, unit in enumerate(gate.units) if index % 61 == 0]
    assert all(gate.units[index].keyframe for index in calls[: len(gate.opens)])


async def test_a_gate_that_fails_can_end_the_stream(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.fail_after = 10
    running = await run_ingest(on_gate_down_stream="deny")
    publisher = publish(footage, running.url(), pace=0.002)
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert publisher.error
    assert running.of(Closed)[0].reason == "gate_lost"


async def test_a_gate_behind_a_cut_cable_can_end_the_stream(
    gate: ScriptedGate,
    run_ingest: StartIngest,
    publish: StartPublisher,
    footage: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = gate_channel.channel_options(300, 300)
    monkeypatch.setattr(gate_channel, "channel_options", lambda: quick)
    async with Cable(gate.address) as cable:
        running = await run_ingest(gate=cable.address, on_gate_down_stream="deny")
        publisher = publish(footage, running.url(), pace=0.02)
        await running.until(lambda: len(gate.units) > 10)
        cable.cut = True
        await running.until(lambda: running.of(Closed))
        await publisher.done()
    assert publisher.error
    assert running.of(Closed)[0].reason == "gate_lost"


@pytest.mark.parametrize("hold_back", [False, True])
@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None),
        (grpc.StatusCode.UNAVAILABLE, "publisher"),
    ],
    ids=["argument", "over-a-limit", "said"],
)
async def test_a_stream_that_the_gate_cannot_watch_is_closed(
    gate: ScriptedGate,
    run_ingest: StartIngest,
    publish: StartPublisher,
    footage: Path,
    tmp_path: Path,
    code: grpc.StatusCode,
    fault: str | None,
    hold_back: bool,
) -> None:
    """Whatever ``on_gate_down_stream`` says: what the publisher sent is no failure of the gate."""
    gate.fail_after, gate.fail_with, gate.fault, gate.clears = 0, code, fault, False
    gate.reason = None if fault is None else "limit_exceeded"
    relay = str(tmp_path / "{name}.flv")
    running = await run_ingest(
        relay=relay, hold_back=hold_back, on_gate_down_stream="allow", admit_timeout_s=20
    )
    publisher = publish(footage, running.url(), pace=0.002)
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert publisher.error
    assert running.of(Closed)[0].reason == "unwatchable"
    assert not running.of(GateDown)
    # A gate that has not ended the call itself learns why, and opens the incident.
    assert (len(gate.opens), gate.ends) == ((1, []) if fault else (2, ["unwatchable"]))
    if hold_back:
        assert not (tmp_path / "cam.flv").exists() or not frames(tmp_path / "cam.flv")


async def test_a_status_that_the_gate_calls_its_own_fault_is_its_own(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.fail_after, gate.fail_with, gate.fault = 20, grpc.StatusCode.RESOURCE_EXHAUSTED, "gate"
    running = await run_ingest(on_gate_down_stream="allow")
    publisher = publish(footage, running.url(), pace=0.002)
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert not publisher.error
    assert running.of(GateDown)


async def test_a_publish_that_the_gate_takes_nothing_of_is_refused_whatever_the_failure_mode(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    """A name over the limit must not admit itself."""
    gate.admit_fails, gate.fail_with, gate.fault = True, grpc.StatusCode.RESOURCE_EXHAUSTED, "publisher"
    running = await run_ingest(on_gate_down_admission="allow")
    publisher = publish(footage, running.url())
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert publisher.error
    assert running.of(Closed)[0].reason == "invalid_input"
    assert not running.of(Admitted)


async def test_a_gate_that_was_restarted_is_asked_for_admission_again(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.fail_after, gate.fail_with = 30, grpc.StatusCode.NOT_FOUND
    running = await run_ingest()
    publisher = publish(footage, running.url(), pace=0.002)
    await running.until(lambda: gate.opens)
    gate.refuse = gate_pb2.AdmitResponse(allowed=False, message=gate_pb2.Message(en="Blocked."))
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert len(gate.admits) == 2
    assert running.of(Closed)[0].reason == "refused"
    assert publisher.error


async def test_a_gate_that_takes_no_media_counts_as_down(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, tmp_path: Path
) -> None:
    gate.reads = False
    big = tmp_path / "big.flv"
    with av.open(str(big), "w", format="flv") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "qp": "1"})
        video.width, video.height, video.pix_fmt = 640, 480, "yuv420p"
        for index in range(12):
            noise = bytearray(os.urandom(640 * 720))
            frame = av.VideoFrame(640, 480, "yuv420p")
            frame.planes[0].update(bytes(noise[: 640 * 480]))
            frame.pts = index
            for packet in video.encode(frame):
                out.mux(packet)
        for packet in video.encode(None):
            out.mux(packet)
    running = await run_ingest(gate_stall_s=0.3, max_pending_bytes=64 * 1024)
    await publish(big, running.url(), pace=0.1).done()
    await running.until(lambda: running.of(Closed))
    assert running.ingest.counters["gate_stalls"] >= 1
    assert running.of(GateDown)


async def test_a_gate_that_does_not_open_counts_as_down(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.answers = False
    running = await run_ingest(watch_open_timeout_s=0.1, on_gate_down_stream="deny")
    publisher = publish(footage, running.url(), pace=0.002)
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert publisher.error
    assert running.of(Closed)[0].reason == "gate_lost"
    assert "not opened" in running.of(GateDown)[0].detail


async def test_a_gate_that_needs_no_more_lets_the_stream_go_on(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    gate.stop_after = 5
    running = await run_ingest()
    publisher = publish(footage, running.url(), pace=0.001)
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert not publisher.error
    assert running.of(Closed)[0].reason == "publisher"
    assert len(gate.opens) == 1


async def test_stop_closes_every_publisher(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest()
    publisher = publish(footage, running.url(), pace=0.02)
    await running.until(lambda: gate.units)
    await running.ingest.stop()
    await publisher.done()
    assert publisher.error
    assert len(running.of(Closed)) == 1


async def test_an_observer_that_fails_does_not_end_a_stream(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    running = await run_ingest()

    def broken(event: Event) -> None:
        running.events.append(event)
        raise RuntimeError("observer")

    running.ingest._observer = broken
    publisher = publish(footage, running.url())
    await publisher.done()
    await running.until(lambda: running.of(Closed))
    assert not publisher.error
    assert len(gate.units) == len(access_units(footage))
