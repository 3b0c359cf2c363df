"""Pulling over real RTMP: FFmpeg listens, a publisher connects to it. Over HTTP nothing else is opened."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import AccessUnit, Codec
from edge.errors import Fault, LimitExceeded, SourceStalled
from edge.ingest.message import Message, MessageType
from edge.ingest.rtmp_client import RtmpPublisher
from edge.pullers.limits import PullLimits
from tests.pullers.pulling import PullInThread, until_end
from tests.stream.flv import published, served

SECRET = "s3cret"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int, limits: PullLimits | None = None) -> PullInThread:
    url = f"rtmp://127.0.0.1:{port}/live/stream?key={SECRET}"
    limits = limits or PullLimits(open_ms=15_000, stall_ms=15_000)
    return PullInThread(url, limits, listen="1")


@contextlib.contextmanager
def publishing(port: int, kind: str, length: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(Path(__file__).with_name("rtmp_publisher.py"))]
    command += [f"rtmp://127.0.0.1:{port}/live/stream", kind, str(length)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}) as publisher:
        try:
            yield publisher
        finally:
            publisher.kill()


async def test_units_of_a_real_publish(port: int) -> None:
    pull = listening(port)
    with publishing(port, "video", 30):
        events, error = await until_end(pull)
    # The listener sees the publisher hang up, which is no orderly end.
    assert isinstance(error, SourceStalled)
    assert SECRET not in str(error)
    opened = events[0]
    assert isinstance(opened, worker_pb2.PullOpened)
    assert opened.codec == "h264"
    assert opened.extradata[:1] == b"\x01"
    units = [event for event in events[1:] if isinstance(event, AccessUnit)]
    assert len(units) == 30
    assert [u.keyframe for u in units] == [i % 10 == 0 for i in range(30)]
    assert [u.pts_ms for u in units] == [round(i * 1000 / 30) for i in range(30)]
    await asyncio.to_thread(pull.puller.thread.join, 10)
    assert not pull.puller.thread.is_alive()


async def test_audio_only_ends_with_a_clear_error(port: int) -> None:
    pull = listening(port, PullLimits(open_ms=15_000, stall_ms=15_000))
    with publishing(port, "audio", 60):
        events, error = await until_end(pull)
    assert events == []
    assert error is not None
    assert (error.reason, error.fault) == ("no_video", Fault.PUBLISHER)
    assert "audio only" in str(error)


async def test_audio_alone_goes_on_where_it_is_asked_for(port: int) -> None:
    url = f"rtmp://127.0.0.1:{port}/live/stream?key={SECRET}"
    pull = PullInThread(url, PullLimits(open_ms=15_000, stall_ms=15_000), audio_alone=True, listen="1")
    with publishing(port, "audio", 60):
        opened = await pull.next()
        assert isinstance(opened, worker_pb2.PullOpened)
        assert (opened.codec, opened.extradata) == ("", b"")
        pull.want_audio(True)
        heard = await pull.next()
        assert isinstance(heard, gate_pb2.AudioUnits)
        assert heard.codec == "aac"
        pull.beat(14_000)
        assert isinstance(await pull.next(), gate_pb2.AudioUnits)
        pull.beat(14_000)  # each piece of audio counts for the watchdog
        assert isinstance(await pull.next(), gate_pb2.AudioUnits)
        pull.stop()


async def test_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/x?key={SECRET}"
        events, error = await until_end(PullInThread(url, PullLimits(open_ms=300, stall_ms=300)))
    assert events == []
    assert isinstance(error, SourceStalled)
    assert error.retryable
    assert SECRET not in str(error)


async def test_nobody_there(port: int) -> None:
    _, error = await until_end(PullInThread(f"rtmp://127.0.0.1:{port}/live/x"))
    assert isinstance(error, SourceStalled)
    assert "refused" in str(error)


async def test_a_unit_over_the_limit_is_the_publishers_fault(port: int) -> None:
    pull = listening(port, PullLimits(15_000, 15_000, max_access_unit_bytes=16))
    with publishing(port, "video", 30):
        events, error = await until_end(pull)
    assert events == []
    assert error is not None
    print("ERR", error)
    assert (error.reason, error.fault) == (LimitExceeded.reason, Fault.PUBLISHER)
    assert "access_unit" in str(error)


async def test_no_event_after_stop(port: int) -> None:
    pull = listening(port)
    with publishing(port, "video", 10_000):
        assert isinstance(await pull.next(), worker_pb2.PullOpened)
        pull.stop()
        assert await pull.next() is None
        # The puller has noticed with the next unit that nobody wants it.
        await asyncio.to_thread(pull.puller.thread.join, 30)
    assert not pull.puller.thread.is_alive()


async def test_a_stop_ends_a_wait(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        pull = PullInThread(f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/x")
        waiting = asyncio.create_task(pull.next())
        await asyncio.to_thread(server.accept)
        pull.stop()
        assert await asyncio.wait_for(waiting, 90) is None


@pytest.mark.parametrize("known", [b"Lavf", b"encoder"], ids=["value", "name"])
async def test_a_title_in_no_encoding_hides_no_frame(known: bytes) -> None:
    data = published(Codec.H264, (96, 128), frames=10)
    assert known in data
    with served(data.replace(known, b"\xff" * len(known), 1)) as url:
        events, error = await until_end(PullInThread(url))
    assert sum(isinstance(event, AccessUnit) for event in events) == 10
    assert error is None


@pytest.mark.parametrize("payload", [b"", b"\x00\x3f\xf0\x00\x00\x00\x00\x00\x00"], ids=["empty", "number"])
async def test_a_message_that_ends_the_demuxer_is_the_publishers_fault(port: int, payload: bytes) -> None:
    """Otherwise the publisher who sends it first is on air, and no failure mode ends that."""
    pull = listening(port)
    ending = asyncio.create_task(until_end(pull))
    publisher = await connected(port)
    await publisher.send(Message(MessageType.DATA, 0, payload), 0)
    events, error = await ending
    await publisher.close()
    assert events == []
    assert error is not None
    assert (error.reason, error.fault) == ("broken_source", Fault.PUBLISHER)


async def connected(port: int) -> RtmpPublisher:
    for _ in range(200):
        with contextlib.suppress(OSError):
            return await RtmpPublisher.connect(f"rtmp://127.0.0.1:{port}/live/stream")
        await asyncio.sleep(0.05)
    raise AssertionError("nobody listens")


PLAYLISTS = {
    "/list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nOTHER/segment.ts\n",
    "/list": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nOTHER/segment.ts\n",
    "/variant.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nOTHER/list.m3u8\n",
    "/key.m3u8": '#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI="OTHER/key"\n'
    "#EXTINF:4,\nlist.ts\n",
    "/map.m3u8": '#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI="OTHER/init.mp4"\n#EXTINF:4,\nlist.mp4\n',
    "/moved.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nredirect.ts\n",
    "/file.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n",
}


class PointingElsewhere:
    """A web server whose answers point to another place, which counts who comes."""

    def __init__(self) -> None:
        self.visits = visits = list[str]()
        self.misled = misled = list[str]()
        self.hosts = hosts = list[str]()

        class Elsewhere(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                visits.append(self.path)
                self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        other = f"http://127.0.0.1:{self.elsewhere.server_address[1]}"

        class Pointing(Elsewhere):
            def do_GET(self) -> None:
                misled.append(self.path)
                hosts.append(self.headers["Host"])
                if self.path.startswith("/redirect"):
                    self.send_response(302)
                    self.send_header("Location", f"{other}/stream.flv")
                    self.end_headers()
                    return
                body = PLAYLISTS[self.path].replace("OTHER", other).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.pointing = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pointing)
        for server in (self.pointing, self.elsewhere):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        for server in (self.pointing, self.elsewhere):
            server.shutdown()
            server.server_close()


def named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Gives one host addresses. Returns who is asked for, as it is asked."""
    asked = list[str]()
    known = socket.getaddrinfo

    def look_up(host: Any, *given: Any, **more: Any) -> Any:
        if host != "ingest.test":
            return known(host, *given, **more)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


async def test_a_host_is_looked_up_once_and_reached_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FFmpeg cannot look this host up: it is told the address, and the server the name."""
    asked = named(monkeypatch, "127.0.0.9", "127.0.0.1")  # nobody listens at the first
    servers = PointingElsewhere()
    try:
        port = servers.pointing.server_address[1]
        limits = PullLimits(open_ms=3000, stall_ms=3000)
        _, error = await until_end(PullInThread(f"http://ingest.test:{port}/redirect", limits))
    finally:
        servers.close()
    assert asked == ["ingest.test"]
    assert servers.misled == ["/redirect"]
    assert servers.hosts == [f"ingest.test:{port}"]
    assert isinstance(error, SourceStalled)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1"])
async def test_a_host_that_turns_to_this_machine_is_not_reached(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    named(monkeypatch, "192.0.2.1", address)
    servers = PointingElsewhere()
    try:
        url = f"http://ingest.test:{servers.pointing.server_address[1]}/redirect"
        events, error = await until_end(PullInThread(url, networks=("10.0.0.0/8",)))
    finally:
        servers.close()
    assert servers.misled == []
    assert events == []
    assert isinstance(error, SourceStalled)
    assert address in str(error)


@pytest.mark.parametrize("path", ["redirect", "redirect.m3u8", *(path[1:] for path in PLAYLISTS)])
async def test_what_a_server_points_to_is_not_opened(path: str) -> None:
    """Whoever can have a URL pulled could otherwise reach what only this machine can reach."""
    servers = PointingElsewhere()
    try:
        url = f"http://127.0.0.1:{servers.pointing.server_address[1]}/{path}"
        limits = PullLimits(open_ms=3000, stall_ms=3000)
        events, error = await until_end(PullInThread(url, limits))
    finally:
        servers.close()
    assert servers.misled
    assert servers.visits == []
    assert events == []
    assert isinstance(error, SourceStalled)
