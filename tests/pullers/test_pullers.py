"""The processes of pulls: one a pull, none outlives its pull or its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import av
import pytest

from edge.clock import SystemClock
from edge.containment import ContainmentMode, Measure, lacking
from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit, StreamId
from edge.errors import GateError, InvalidInput, SourceStalled
from edge.pull_sources import PullSources
from edge.pullers.limits import PullLimits
from edge.pullers.pull import Pull, PullEvent
from edge.pullers.pullers import Pullers, PullSettings
from tests.conftest import require
from tests.integration.calls import write_footage
from tests.pullers.pulling import until_end

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
LONG = PullLimits(open_ms=120_000, stall_ms=120_000)
SUPERVISOR = """
import asyncio, sys
from edge.clock import SystemClock
from edge.domain import StreamId
from edge.pullers.limits import PullLimits
from edge.pull_sources import PullSources
from edge.pullers.pullers import Pullers, PullSettings

async def main():
    sources = PullSources.of(("rtmp://127.0.0.1:*",))
    pullers = Pullers(PullSettings(sources, PullLimits(120_000, 120_000)), SystemClock())
    pulls = [pullers.pull(StreamId(f"st_{n}"), sys.argv[1]) for n in range(3)]
    await asyncio.gather(*(pull.next() for pull in pulls))

asyncio.run(main())
"""


class SilentServer:
    """An RTMP server that never answers: its clients wait inside libav."""

    def __init__(self) -> None:
        self.clients = 0

    async def _say_nothing(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self.clients -= 1
        writer.close()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._say_nothing, "127.0.0.1", 0)
        yield f"rtmp://127.0.0.1:{server.sockets[0].getsockname()[1]}/live/x"
        server.close()


@contextlib.asynccontextmanager
async def pulling(limits: PullLimits = LONG) -> AsyncIterator[Pullers]:
    pullers = Pullers(PullSettings(PullSources.of(("rtmp://127.0.0.1:*",)), limits), SystemClock())
    try:
        yield pullers
    finally:
        await pullers.stop()


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def template_of(supervisor: int) -> int:
    """Its process id, or 0 where there is none."""
    found = [pid for pid in children(supervisor) if b"edge.pullers.template" in command_of(pid)]
    return found[0] if found else 0


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def alive(pid: int) -> bool:
    return bool(command_of(pid))  # a zombie has none


async def until(happened: Callable[[], object]) -> None:
    for _ in range(int(PATIENCE_S / 0.02)):
        if happened():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it has not happened")


class Reading(NamedTuple):
    """A pull that waits inside libav."""

    pull: Pull
    pid: int
    end: asyncio.Task[tuple[list[PullEvent], GateError | None]]


async def reading(pullers: Pullers, server: SilentServer, url: str, count: int) -> list[Reading]:
    found: list[Reading] = []
    for number in range(count):
        pull = pullers.pull(StreamId(f"st_{number}"), url)
        end = asyncio.create_task(until_end(pull))
        await until(lambda: server.clients > len(found))
        [pid] = set(children(template_of(os.getpid()))) - {one.pid for one in found}
        found.append(Reading(pull, pid, end))
    return found


async def test_each_pull_has_a_process_which_ends_with_it() -> None:
    server = SilentServer()
    async with server.serving() as url, pulling() as pullers:
        first, second = await reading(pullers, server, url, 2)
        first.pull.stop()
        # It waits inside libav, does not notice, and is killed.
        await until(lambda: not alive(first.pid))
        assert alive(second.pid)
        await until(lambda: server.clients == 1)
    await until(lambda: not alive(second.pid))


async def test_a_puller_that_hangs_is_killed_and_no_other() -> None:
    """Nothing inside it runs any more, not even a timer."""
    server = SilentServer()
    async with server.serving() as url, pulling() as pullers:
        hanging, other = await reading(pullers, server, url, 2)
        os.kill(hanging.pid, signal.SIGSTOP)
        hanging.pull.beat(LONG.open_ms + 1.0)
        _, error = await hanging.end
        assert isinstance(error, SourceStalled)
        assert "no video within" in str(error)
        await until(lambda: not alive(hanging.pid))
        assert alive(other.pid)


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGSEGV, "broken_source"), (signal.SIGKILL, "source_stalled")]
)
async def test_a_crash_is_put_down_to_what_the_puller_reads(number: signal.Signals, reason: str) -> None:
    server = SilentServer()
    async with server.serving() as url, pulling() as pullers:
        crashing, other = await reading(pullers, server, url, 2)
        os.kill(crashing.pid, number)
        _, error = await crashing.end
        assert error is not None
        assert error.retryable
        assert error.reason == reason
        assert str(-number) in str(error)
        assert alive(other.pid)


async def test_pulls_go_on_with_a_new_template_when_the_old_one_dies() -> None:
    server = SilentServer()
    async with server.serving() as url, pulling() as pullers:
        [before] = await reading(pullers, server, url, 1)
        template = template_of(os.getpid())
        os.kill(template, signal.SIGKILL)
        _, error = await before.end
        assert isinstance(error, SourceStalled)
        await until(lambda: not alive(before.pid) and not alive(template) and not server.clients)
        [after] = await reading(pullers, server, url, 1)
        assert alive(after.pid)


async def test_no_process_outlives_a_supervisor_that_is_killed() -> None:
    """And none ends by Ctrl-C, which reaches the whole group: the supervisor decides."""
    server = SilentServer()
    async with server.serving() as url:
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUPERVISOR, url, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        try:
            await until(lambda: server.clients == 3)
            template = template_of(supervisor.pid)
            pids = [template, *children(template)]
            assert len(pids) == 4
            for pid in pids:
                os.kill(pid, signal.SIGINT)
                os.kill(pid, signal.SIGTERM)
            assert server.clients == 3
            assert all(map(alive, pids))
        finally:
            supervisor.kill()
        await until(lambda: not any(map(alive, pids)))
        await supervisor.wait()


async def test_a_source_that_says_nothing_ends_in_time() -> None:
    async with pulling(PullLimits(open_ms=300, stall_ms=300)) as pullers:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/x?key=s3cret"
            _, error = await until_end(pullers.pull(StreamId("st"), url))
        assert isinstance(error, SourceStalled)
        assert "s3cret" not in str(error)


async def test_a_url_that_is_not_allowed_starts_no_process() -> None:
    async with pulling() as pullers:
        with pytest.raises(InvalidInput):
            pullers.pull(StreamId("st"), "file:///etc/passwd")
        assert not template_of(os.getpid())


def test_a_puller_starts_without_what_it_does_not_need() -> None:
    """Each fork shares what the template holds. A second thread in the template would not be forked."""
    program = (
        "import json, os, sys, edge.pullers.template; "
        "print(json.dumps([sorted(sys.modules), len(os.listdir('/proc/self/task'))]))"
    )
    loaded, threads = json.loads(
        subprocess.check_output([sys.executable, "-c", program], text=True, cwd=ROOT)
    )
    assert threads == 1
    assert not {name.split(".")[0] for name in loaded} & {
        "numpy",
        "onnxruntime",
        "pydantic",
        "structlog",
        "grpc",
        "sqlalchemy",
    }


@pytest.mark.parametrize("name", ["moving.flv", "list.m3u8"])
async def test_a_contained_puller_pulls(tmp_path: Path, name: str) -> None:
    require(not lacking(), "a kernel with seccomp and Landlock for TCP, or libseccomp,")
    write_footage(tmp_path / "moving.flv", seconds=2)
    write_playlist(tmp_path / "moving.flv", tmp_path / "list.m3u8")
    served = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        sources = PullSources.of(("http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"))
        settings = PullSettings(sources, LONG, containment=ContainmentMode.REQUIRE)
        pullers = Pullers(settings, SystemClock())
        try:
            url = f"http://localhost:{server.server_address[1]}/{name}"
            events, error = await until_end(pullers.pull(StreamId("st_1"), url))
        finally:
            await pullers.stop()
            server.shutdown()
    assert error is None
    opened = events[0]
    assert isinstance(opened, worker_pb2.PullOpened)
    assert set(opened.contained.in_force) == set(Measure)
    assert len([event for event in events if isinstance(event, AccessUnit)]) > 40


def write_playlist(source: Path, target: Path) -> None:
    """Cuts a file into the segments of an HLS playlist."""
    options = {"hls_time": "1", "hls_list_size": "0"}
    with av.open(str(source)) as read, av.open(str(target), "w", format="hls", options=options) as written:
        [video] = read.streams.video
        stream = written.add_stream_from_template(video)
        for packet in read.demux(video):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
