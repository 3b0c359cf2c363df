"""A running gate and publishers whose timestamps lie, or who send faster than their media was filmed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.gate_process import GateProcess
from edge.match import Bank, Entry, EntryKind, Footage, HashRun, PdqHasher
from edge.stream.synthetic import EncodedMedia, encode
from tests.integration.calls import TIMEOUT_S, admit, give_time, repeated, requests, watch
from tests.match.evasion.test_filmed_screen import picture
from tests.running_gate import metrics, until_metric

pytestmark = pytest.mark.integration

FPS, FILM_S, PICTURE_FRAMES = 30, 10, 6
ZERO_LATENCY = {"tune": "zerolatency"}
Lie = Callable[[int], tuple[int, int]]
LIES: dict[str, Lie] = {
    "stand still": lambda n: (7, 7),
    "jump": lambda n: (3_600_000 * n, 3_600_000 * n),
    "out of order": lambda n: (33 * n + (560 if n % 17 == 0 else 0), 33 * n),
}


def film(number: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    return picture(number // PICTURE_FRAMES, height, width)


@pytest.fixture(scope="module")
def media() -> EncodedMedia:
    return encode(frames=FPS * FILM_S, gop=17, size=(180, 320), picture=film, options=ZERO_LATENCY)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    folder = tmp_path_factory.mktemp("gate")
    hasher, step_ms = PdqHasher(), 1000 * PICTURE_FRAMES // FPS
    runs = tuple(
        HashRun(hasher.hash(picture(n, 180, 320)).bits, start_ms=n * step_ms, span_ms=step_ms - 34)
        for n in range(1000 * FILM_S // step_ms)
    )
    bank = Bank.create(folder / "banks" / "known")
    bank.add_footage([Footage(Entry("film", EntryKind.VIDEO), runs)])
    config = "[workers]\ncount = 1\n[limits]\nmax_lead_ms = 2000\n"
    with GateProcess(folder, config=config) as running:
        yield running


@pytest.fixture
def stub(gate: GateProcess) -> Iterator[Any]:
    with grpc.insecure_channel(gate.grpc) as channel:
        give_time(gate, channel)
        yield gate_pb2_grpc.GateStub(channel)


def test_known_footage_is_cut_whatever_its_stamps_are(
    gate: GateProcess, stub: Any, media: EncodedMedia
) -> None:
    def answers(lie: str) -> list[gate_pb2.WatchResponse]:
        units = [
            gate_pb2.AccessUnit(pts_ms=pts, dts_ms=dts, keyframe=unit.keyframe, data=unit.data)
            for unit, (pts, dts) in zip(media.units, map(LIES[lie], range(10**6)), strict=False)
        ]
        stream_id = admit(stub, f"liar-{lie}").stream_id
        messages = requests(stream_id, media.extradata, units, pace=1 / FPS)
        answers = []
        for answer in stub.Watch(messages, timeout=TIMEOUT_S):
            answers.append(answer)
            if answer.verdict.action == gate_pb2.ACTION_CUT:
                break
        return answers

    with ThreadPoolExecutor() as publishers:
        said = dict(zip(LIES, publishers.map(answers, LIES), strict=True))
    assert {lie: said[lie][-1].verdict.reason for lie in LIES} == dict.fromkeys(LIES, "match")
    still = said["stand still"]
    assert {answer.cleared_pts_ms for answer in still} <= {-1, 6}, (
        "each unit has the stamp of an unjudged one"
    )
    assert max(answer.cleared_units for answer in still) < FPS * FILM_S
    until_metric(gate, 'edge_timestamps_wrong_total{how="out_of_order"}')
    assert 'edge_timestamps_wrong_total{how="stand_still"}' in metrics(gate)


def test_who_sends_as_fast_as_it_can_takes_nothing_from_others(stub: Any, media: EncodedMedia) -> None:
    """The flood would be over in a second. It is read at the pace of its media, and a neighbour that shows
    something else loses no sample."""
    calm = encode(frames=FPS * 8, gop=30, options=ZERO_LATENCY)
    over, begun = threading.Event(), time.monotonic()
    cleared_units = 0

    def units(of: EncodedMedia) -> list[gate_pb2.AccessUnit]:
        return [
            gate_pb2.AccessUnit(pts_ms=u.pts_ms, dts_ms=u.dts_ms, keyframe=u.keyframe, data=u.data)
            for u in of.units
        ]

    def flood() -> None:
        nonlocal cleared_units
        stream_id = admit(stub, "flood").stream_id
        call = stub.Watch(requests(stream_id, calm.extradata, repeated(units(calm), 100)), timeout=TIMEOUT_S)
        for answer in call:
            cleared_units = max(cleared_units, answer.cleared_units)
            media_ms = 1000 * cleared_units / FPS
            assert media_ms <= 2000 + 1.06 * 1000 * (time.monotonic() - begun) + 500
            if over.is_set():
                call.cancel()
                return

    with ThreadPoolExecutor() as publishers:
        flooding = publishers.submit(flood)
        stream_id = admit(stub, "neighbour").stream_id
        answers = watch(stub, requests(stream_id, calm.extradata, units(calm), pace=1 / FPS))
        over.set()
        flooding.result(TIMEOUT_S)
    lost = [a.degraded.reason for a in answers if a.HasField("degraded")]
    assert set(lost) <= {"gave_way"}
    assert sum(a.HasField("verdict") for a in answers) >= 8
    assert answers[-1].cleared_pts_ms >= calm.units[-1].pts_ms - 2000
    assert cleared_units > 2 * FPS
