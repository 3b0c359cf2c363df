"""Pulling over real RTMP: FFmpeg listens, a publisher connects to it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import cast

import av
import pytest

from edge.clock import SystemClock
from edge.domain import AccessUnit, Codec
from edge.errors import GateError, InvalidInput, LimitExceeded, MediaError, SourceStalled
from edge.stream import PullSettings, PullSource, pull

Event = tuple[str, object]


class Puller:
    """A pull whose callbacks fill a queue."""

    def __init__(self, url: str, settings: PullSettings) -> None:
        self.events: Queue[Event] = Queue()
        self.source = PullSource(
            url,
            settings,
            SystemClock(),
            on_open=lambda codec, extradata: self.events.put(("open", (codec, extradata))),
            on_unit=lambda unit: self.events.put(("unit", unit)),
            on_end=lambda error: self.events.put(("end", error)),
        )
        self.source.start()

    def until_end(self) -> tuple[list[Event], GateError | None]:
        before: list[Event] = []
        while True:
            event = self.events.get(timeout=30)
            if event[0] == "end":
                assert event[1] is None or isinstance(event[1], GateError)
                return before, event[1]
            before.append(event)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int, **changes: int) -> Puller:
    settings = PullSettings(
        open_ms=changes.get("open_ms", 15_000),
        stall_ms=changes.get("stall_ms", 15_000),
        options={"listen": "1"},
    )
    return Puller(f"rtmp://127.0.0.1:{port}/live/stream?key=s3cret", settings)


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


def test_units_of_a_real_publish(port: int) -> None:
    puller = listening(port)
    with publishing(port, "video", 30):
        events, error = puller.until_end()
    # The listener sees the publisher hang up, which is no orderly end.
    assert isinstance(error, SourceStalled)
    assert "s3cret" not in str(error)
    assert events[0][0] == "open"
    codec, extradata = cast("tuple[Codec, bytes]", events[0][1])
    assert codec is Codec.H264
    assert extradata[:1] == b"\x01"
    units = [u for _, u in events[1:] if isinstance(u, AccessUnit)]
    assert len(units) == 30
    assert [u.keyframe for u in units] == [i % 10 == 0 for i in range(30)]
    assert [u.pts_ms for u in units] == [round(i * 1000 / 30) for i in range(30)]
    assert units[0].arrival_ms <= units[-1].arrival_ms
    assert puller.source.join(10)


def test_audio_only_ends_with_a_clear_error(port: int) -> None:
    puller = listening(port, open_ms=3000)
    with publishing(port, "audio", 60):
        events, error = puller.until_end()
    assert events == []
    assert isinstance(error, MediaError)
    assert "audio only" in str(error)


def test_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/x?key=s3cret"
        puller = Puller(url, PullSettings(open_ms=300, stall_ms=300))
        events, error = puller.until_end()
    assert events == []
    assert isinstance(error, SourceStalled)
    assert error.retryable
    assert "s3cret" not in str(error)


def test_nobody_there(port: int) -> None:
    puller = Puller(f"rtmp://127.0.0.1:{port}/live/x", PullSettings())
    _, error = puller.until_end()
    assert isinstance(error, SourceStalled)
    assert "refused" in str(error)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A libav call that never returns. No real server can cause that on demand."""
    release = threading.Event()

    def hang(*args: object, **named: object) -> None:
        release.wait()
        raise av.error.EOFError(-541478725, "released")

    monkeypatch.setattr(av, "open", hang)
    monkeypatch.setattr(pull, "_GRACE_S", 0.05)
    yield release
    release.set()


def test_thread_that_hangs_is_abandoned_and_counted(hanging: threading.Event) -> None:
    before = pull.abandoned_threads
    puller = Puller("rtmp://127.0.0.1:9/live/x", PullSettings(open_ms=50, stall_ms=50))
    _, error = puller.until_end()
    assert isinstance(error, SourceStalled)
    puller.source._watchdog.join(10)
    assert pull.abandoned_threads == before + 1
    hanging.set()
    assert puller.source.join(10)
    assert puller.events.empty()


def test_no_callback_after_stop(port: int) -> None:
    puller = listening(port)
    with publishing(port, "video", 10_000):
        assert puller.events.get(timeout=30)[0] == "open"
        puller.source.stop()
        while not puller.events.empty():
            puller.events.get()
        assert puller.source.join(30)
    assert puller.events.empty()


def test_consumer_that_is_slow_is_no_stall(port: int) -> None:
    released = threading.Event()
    stalled = threading.Event()
    units: list[AccessUnit] = []
    ended: Queue[GateError | None] = Queue()
    clock = SystemClock()

    def slow(unit: AccessUnit) -> None:
        if not units:
            start_ms = clock.monotonic_ms()
            while clock.monotonic_ms() - start_ms < 2 * 500:  # Twice the limit.
                time.sleep(0.01)
            stalled.set()
            released.wait()
        units.append(unit)

    source = PullSource(
        f"rtmp://127.0.0.1:{port}/live/stream",
        PullSettings(open_ms=15_000, stall_ms=500, options={"listen": "1"}),
        clock,
        on_open=lambda codec, extradata: None,
        on_unit=slow,
        on_end=ended.put,
    )
    source.start()
    with publishing(port, "video", 10):
        assert stalled.wait(30)
        assert ended.empty()
        released.set()
        ended.get(timeout=30)
    assert len(units) == 10


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/etc/passwd", "rtmp:///no-host", "concat:a|b", "", "lavfi://x/testsrc"]
)
def test_schemes_are_those_allowed(url: str) -> None:
    with pytest.raises(InvalidInput, match="url: wants scheme://host"):
        Puller(url, PullSettings())


def test_url_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="url"):
        Puller("rtmp://host/" + "x" * 3000, PullSettings())
