"""Workers crash, hang, loop or grow under load. Other workers' streams lose nothing, their own go on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import pytest

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess
from tests.integration.calls import (
    TIMEOUT_S,
    admit,
    give_time,
    read_units,
    repeated,
    requests,
    workers_of,
    write_footage,
)

CONFIG = "[workers]\ncount = 2\nheartbeat_ms = 200\nhang_ms = 2000\njob_ms = 3000\n"
STREAMS = 4
WAIT_S = 2 * TIMEOUT_S


@dataclass
class Watched:
    """One stream in the background, and its answers in order."""

    call: Any
    heard: list[str] = field(default_factory=list)
    pts_ms: list[int] = field(default_factory=list)
    failed: str = ""

    def listen(self) -> None:
        try:
            for answer in self.call:
                kind = answer.WhichOneof("response")
                self.heard.append(answer.degraded.reason if kind == "degraded" else kind)
                if kind == "verdict":
                    self.pts_ms.append(answer.verdict.pts_ms)
        except grpc.RpcError as error:
            self.failed = f"{error.code().name}: {error.details()}"

    @property
    def lost(self) -> bool:
        return "worker_lost" in self.heard

    @property
    def resumed(self) -> bool:
        return self.lost and "verdict" in self.heard[self.heard.index("worker_lost") :]


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@contextmanager
def on_air(stub: Any, media: tuple[bytes, list[gate_pb2.AccessUnit]], count: int) -> Iterator[list[Watched]]:
    """Endless streams, each judged at least once."""
    extradata, units = media
    streams = []
    threads = []
    for number in range(count):
        messages = requests(
            admit(stub, f"calm{number}").stream_id, extradata, repeated(units, 200), pace=0.04
        )
        streams.append(Watched(stub.Watch(messages)))
        threads.append(threading.Thread(target=streams[-1].listen, daemon=True))
        threads[-1].start()
    until(lambda: all(stream.pts_ms for stream in streams), "streams are not judged")
    try:
        yield streams
    finally:
        for stream in streams:
            stream.call.cancel()
        for thread in threads:
            thread.join(TIMEOUT_S)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[gate_pb2.AccessUnit]]:
    path = tmp_path_factory.mktemp("media") / "small.mp4"
    write_footage(path, seconds=6)
    return read_units(path)


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[gate_pb2.AccessUnit]]:
    """Legal media in which every frame is 4096×4096 of noise: slow to decode, and large in memory."""
    path = tmp_path_factory.mktemp("media") / "huge.mp4"
    noise = np.random.default_rng(1).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    picture = np.tile(noise, (16, 16, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "qp": "30", "g": "1"}
        )
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 4096, 4096, "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        for index in range(4):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return read_units(path)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGSTOP], ids=lambda n: n.name)
def test_only_the_streams_of_the_worker_that_is_hit_notice_and_they_go_on(
    number: signal.Signals, small: tuple[bytes, list[gate_pb2.AccessUnit]], tmp_path: Path
) -> None:
    with GateProcess(tmp_path / "gate", config=CONFIG) as gate, grpc.insecure_channel(gate.grpc) as channel:
        stub: Any = gate_pb2_grpc.GateStub(channel)
        give_time(gate, channel)
        with on_air(stub, small, STREAMS) as streams:
            victim = workers_of(gate.pid)[0]
            os.kill(victim, number)
            until(lambda: any(stream.lost for stream in streams), "nobody was told")
            until(lambda: len(set(workers_of(gate.pid)) - {victim}) == 2, "the worker was not replaced")
            until(lambda: all(stream.resumed or not stream.lost for stream in streams), "no verdicts again")
            seen = [len(stream.pts_ms) for stream in streams]
            until(lambda: all(len(s.pts_ms) > n for s, n in zip(streams, seen, strict=True)), "some stopped")
            # A suspected stream may wait for the new worker, but it has been told by now.
            lost = [stream for stream in streams if stream.lost]
            assert 0 < len(lost) < STREAMS
            assert not any(stream.failed for stream in streams)
            assert not Path(f"/proc/{victim}").exists()
            left = [*workers_of(gate.pid), gate.pid]
        assert gate.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in left)


@pytest.mark.parametrize(
    ("limit", "said"),
    [("job_ms = 50", "in one job"), ("max_resident_mb = 160\njob_ms = 60000", "the limit is 160 MB")],
    ids=["endless-decode", "memory"],
)
def test_media_that_a_worker_cannot_bear_is_quarantined_and_takes_no_other_stream_with_it(
    limit: str,
    said: str,
    small: tuple[bytes, list[gate_pb2.AccessUnit]],
    huge: tuple[bytes, list[gate_pb2.AccessUnit]],
    tmp_path: Path,
) -> None:
    config = CONFIG.replace("job_ms = 3000\n", "") + f"{limit}\n[limits]\nmax_access_unit_bytes = 60000000\n"
    config += "max_picture_short_edge = 4096\n"
    config = config.replace("heartbeat_ms = 200", "heartbeat_ms = 100")
    config = config.replace("hang_ms = 2000", "hang_ms = 60000")  # Only the limit under test ends the worker.
    with (
        GateProcess(tmp_path / "gate", config=config) as gate,
        grpc.insecure_channel(gate.grpc, options=[("grpc.max_send_message_length", 64 * 2**20)]) as channel,
    ):
        stub: Any = gate_pb2_grpc.GateStub(channel)
        extradata, units = huge
        messages = requests(admit(stub, "hostile").stream_id, extradata, repeated(units, 100), pace=0.1)
        hostile = Watched(stub.Watch(messages, timeout=WAIT_S))
        hostile.listen()
        assert hostile.failed.startswith("INVALID_ARGUMENT: quarantined"), hostile
        assert said in gate.log()
        operator: Any = operator_pb2_grpc.OperatorStub(channel)
        token = parse_tokens(gate.tokens)[0].token.get_secret_value()
        listed = operator.ListIncidents(
            operator_pb2.ListIncidentsRequest(broadcaster="hostile"),
            metadata=(("authorization", f"Bearer {token}"),),
        ).incidents
        assert {incident.verdict.reason for incident in listed} == {"quarantined"}
