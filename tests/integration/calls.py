"""Calls and media that the integration tests of the gate share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import av
import grpc
import numpy as np
import pytest

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess

TIMEOUT_S = 90.0
"""Bound of every wait. A busy machine takes long; what never comes is found all the same."""
_Seen = TypeVar("_Seen")


def write_footage(path: Path, seconds: int, width: int = 320, height: int = 240) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25", "tune": "zerolatency"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        rows = np.arange(height)[:, None]
        columns = np.arange(width)[None, :]
        for index in range(25 * seconds):
            picture = ((rows + 3 * index) ^ (columns + 2 * index)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.repeat(picture[:, :, None], 3, axis=2), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_units(path: Path) -> tuple[bytes, list[gate_pb2.AccessUnit]]:
    units = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        extradata = bytes(stream.codec_context.extradata or b"")
        for packet in container.demux(stream):
            if packet.pts is None or packet.dts is None or packet.time_base is None:
                continue
            units.append(
                gate_pb2.AccessUnit(
                    pts_ms=int(packet.pts * packet.time_base * 1000),
                    dts_ms=int(packet.dts * packet.time_base * 1000),
                    keyframe=packet.is_keyframe,
                    data=bytes(packet),
                )
            )
    return extradata, units


def give_time(gate: GateProcess, channel: grpc.Channel) -> None:
    """A budget of seconds, because a busy machine's lateness is not tested here."""
    set_policy(gate, channel, {"budget_ms": 5000})


def set_policy(gate: GateProcess, channel: grpc.Channel, fields: dict[str, Any]) -> None:
    """Replaces these fields of the policy."""
    operator: Any = operator_pb2_grpc.OperatorStub(channel)
    metadata = (("authorization", f"Bearer {parse_tokens(gate.tokens)[0].token.get_secret_value()}"),)
    policy = json.loads(operator.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=metadata).json)
    policy |= fields
    operator.SetPolicy(
        operator_pb2.SetPolicyRequest(json=json.dumps(policy), reason="test"), metadata=metadata
    )


_connections = iter(range(1_000_000))


def admit(
    stub: Any, broadcaster: str = "anna", *, once: bool = False, **fields: Any
) -> gate_pb2.AdmitResponse:
    """Asks again if the gate has no place now, as on a busy machine, unless ``once``."""
    request = gate_pb2.AdmitRequest(
        server="test",
        connection=fields.pop("connection", f"c{next(_connections)}"),
        app=fields.pop("app", "live"),
        name="stream",
        broadcaster=broadcaster,
        address="127.0.0.1",
        **fields,
    )
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        response: gate_pb2.AdmitResponse = stub.Admit(request, timeout=TIMEOUT_S)
        if once or response.reason != gate_pb2.REASON_CODE_CAPACITY or time.monotonic() > deadline:
            return response
        time.sleep(0.1)


def repeated(units: list[gate_pb2.AccessUnit], laps: int) -> Iterator[gate_pb2.AccessUnit]:
    """Repeats media as one stream. Units are made on demand, because they may be large."""
    span = units[-1].pts_ms - units[0].pts_ms + 40
    for lap in range(laps):
        for unit in units:
            yield gate_pb2.AccessUnit(
                pts_ms=unit.pts_ms + lap * span,
                dts_ms=unit.dts_ms + lap * span,
                keyframe=unit.keyframe,
                data=unit.data,
            )


def requests(
    stream_id: str,
    extradata: bytes,
    units: Iterable[gate_pb2.AccessUnit],
    *,
    codec: str = "h264",
    pace: float = 0.0,
    end: bool = True,
    reason: str = "closed",
) -> Iterator[gate_pb2.WatchRequest]:
    yield gate_pb2.WatchRequest(
        open=gate_pb2.WatchOpen(stream_id=stream_id, codec=codec, extradata=extradata)
    )
    for unit in units:
        yield gate_pb2.WatchRequest(access_unit=unit)
        if pace:
            time.sleep(pace)
    if end:
        yield gate_pb2.WatchRequest(end=gate_pb2.WatchEnd(reason=reason))


def watch(stub: Any, messages: Iterator[gate_pb2.WatchRequest]) -> list[gate_pb2.WatchResponse]:
    return list(stub.Watch(messages, timeout=TIMEOUT_S))


def status_of(stub: Any, messages: Iterator[gate_pb2.WatchRequest]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        watch(stub, messages)
    return caught.value


def workers_of(pid: int) -> list[int]:
    """Returns the pids of a gate's workers, the oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        parent, started = int(stat[1]), int(stat[19])
        if parent == pid and b"edge.workers" in command:
            found.append((started, int(entry.name)))
    return [worker for _, worker in sorted(found)]


def until(look: Callable[[], _Seen], condition: Callable[[_Seen], bool]) -> _Seen:
    """Waits until the condition holds for what ``look`` returns, and returns that."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition(seen := look()):
        assert time.monotonic() < deadline, f"still {seen}"
        time.sleep(0.05)
    return seen
