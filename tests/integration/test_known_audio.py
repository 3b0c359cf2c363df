"""Audio of banked footage under other video, through a running gate: pushed, pulled and published."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import grpc
import pytest

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess
from edge.match import Bank, VariantSet, available, bank_info, fingerprint
from tests.conftest import require
from tests.integration.calls import TIMEOUT_S, admit, read_units, requests
from tests.integration.test_gate import serve_live
from tests.match.audio.audio_clips import melody, write_clip
from tests.running_gate import metrics

SECONDS = 14


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    require(available(), "libchromaprint1")
    folder = tmp_path_factory.mktemp("clips")
    known = melody(1, SECONDS)
    return {
        "known": write_clip(folder / "known.mp4", known, seed=1, seconds=SECONDS),
        "hidden": write_clip(folder / "hidden.mp4", known, seed=2, seconds=SECONDS),
        "served": write_clip(folder / "served.flv", known, seed=2, seconds=SECONDS),
        "mp3": write_clip(folder / "mp3.mkv", known, seed=2, seconds=SECONDS, codec="libmp3lame"),
        "other": write_clip(folder / "other.mp4", melody(2, SECONDS), seed=2, seconds=SECONDS),
    }


@pytest.fixture(scope="module")
def gate(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    folder = tmp_path_factory.mktemp("gate")
    bank = Bank.create(folder / "data" / "banks" / "known", bank_info(label="attack"))
    bank.add_footage([fingerprint(clips["known"], entry_id="known", variants=VariantSet.NONE)])
    with GateProcess(
        folder / "data", config='[workers]\ncount = 1\n[limits]\npull_from = ["http://127.0.0.1:*"]\n'
    ) as process:
        yield process


@pytest.fixture(scope="module")
def stub(gate: GateProcess) -> Iterator[Any]:
    with grpc.insecure_channel(gate.grpc) as channel:
        yield gate_pb2_grpc.GateStub(channel)


def audio_print_of(path: Path, *, a_message: int = 22) -> Iterator[tuple[int, gate_pb2.WatchRequest]]:
    """Messages of a file's audio, each with its end time."""
    with av.open(str(path)) as media:
        stream = media.streams.audio[0]
        codec, extradata = stream.codec_context.codec.canonical_name, stream.codec_context.extradata or b""
        units = [
            gate_pb2.AudioUnit(pts_ms=round(1000 * packet.pts * packet.time_base), data=bytes(packet))
            for packet in media.demux(stream)
            if packet.pts is not None and packet.time_base is not None and packet.size
        ]
    for start in range(0, len(units), a_message):
        some = units[start : start + a_message]
        message = gate_pb2.AudioUnits(codec=codec, extradata=extradata, units=some)
        yield some[-1].pts_ms, gate_pb2.WatchRequest(audio=message)


def with_audio(
    stream_id: str, path: Path, sound: Iterator[tuple[int, gate_pb2.WatchRequest]]
) -> Iterator[gate_pb2.WatchRequest]:
    """The video at eight times its speed, with the audio that is due at each time."""
    extradata, units = read_units(path)
    times = iter([unit.pts_ms for unit in units])
    ahead = next(sound, None)
    for request in requests(stream_id, extradata, units, pace=0.0125):
        if request.HasField("access_unit"):
            pts_ms = next(times)
            while ahead is not None and ahead[0] <= pts_ms:
                yield ahead[1]
                ahead = next(sound, None)
        yield request


def flags(answers: list[gate_pb2.WatchResponse]) -> list[gate_pb2.Verdict]:
    return [a.verdict for a in answers if a.verdict.action == gate_pb2.ACTION_FLAG]


def reasons(answers: list[gate_pb2.WatchResponse]) -> set[str]:
    return {a.degraded.reason for a in answers if a.HasField("degraded")}


def watched(stub: Any, path: Path, sound: Any = None) -> list[gate_pb2.WatchResponse]:
    stream_id = admit(stub, f"from-{path.stem}").stream_id
    sent = with_audio(stream_id, path, audio_print_of(path) if sound is None else sound)
    return list(stub.Watch(sent, timeout=TIMEOUT_S))


@pytest.mark.parametrize("name", ["hidden", "mp3"])
def test_known_audio_under_another_frame_asks_for_a_person(
    stub: Any, gate: GateProcess, clips: dict[str, Path], name: str
) -> None:
    answers = watched(stub, clips[name])
    assert next(a for a in answers if a.HasField("opened")).opened.tier.audio_wanted
    (flag,) = flags(answers)
    assert (flag.reason, flag.category) == ("sound", "attack")
    signal = flag.signals[0]
    assert (signal.source, signal.entry, signal.distance) == ("sound", "known", -1)
    offset = int(signal.detail.split("offset_ms=")[1].split()[0])
    assert abs(offset) < 200
    assert flag.incident_id
    assert 'edge_verdicts_total{action="flag",reason="sound"}' in metrics(gate)


def test_other_audio_is_nothing(stub: Any, clips: dict[str, Path]) -> None:
    answers = watched(stub, clips["other"])
    assert flags(answers) == []
    assert sum(a.HasField("verdict") for a in answers) > 5


def test_no_audio_is_as_ever(stub: Any, clips: dict[str, Path]) -> None:
    assert flags(watched(stub, clips["hidden"], iter(()))) == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (gate_pb2.AudioUnits(codec="flac", units=[gate_pb2.AudioUnit(data=b"x")]), "audio_unsupported"),
        (
            gate_pb2.AudioUnits(codec="aac", units=[gate_pb2.AudioUnit(data=b"\xff" * 9)] * 64),
            "audio_broken",
        ),
        (gate_pb2.AudioUnits(codec="aac", extradata=b"\xff" * 8), "audio_broken"),
        (gate_pb2.AudioUnits(codec="mp3", units=[gate_pb2.AudioUnit(data=bytes(65537))]), "audio_too_large"),
        (gate_pb2.AudioUnits(codec="mp3", units=[gate_pb2.AudioUnit(data=b"x")] * 129), "audio_too_large"),
    ],
    ids=["codec", "frames", "extradata", "size", "count"],
)
def test_bad_audio_is_told_of_once_and_harms_nothing(
    stub: Any, clips: dict[str, Path], message: gate_pb2.AudioUnits, reason: str
) -> None:
    bad = ((t, gate_pb2.WatchRequest(audio=message)) for t in range(1000, 12_000, 1000))
    answers = watched(stub, clips["hidden"], bad)
    assert [a.degraded.count for a in answers if a.degraded.reason == reason] == [1]
    assert max(a.cleared_pts_ms for a in answers) > 12_000


def test_pulled_audio_is_heard(stub: Any, clips: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        media = clips["served"].read_bytes()
        threading.Thread(target=serve_live, args=(listener, media, 4.0), daemon=True).start()
        stream_id = admit(stub, "pulled").stream_id
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/live.flv"
        request = gate_pb2.AttachRequest(stream_id=stream_id, url=url)
        for answer in stub.Attach(request, timeout=TIMEOUT_S):
            if answer.verdict.action == gate_pb2.ACTION_FLAG:
                flag = answer.verdict
                stub.Detach(gate_pb2.DetachRequest(stream_id=stream_id), timeout=TIMEOUT_S)
    assert (flag.reason, flag.signals[0].entry) == ("sound", "known")


def test_a_policy_may_cut_by_audio_or_not_listen(
    stub: Any, gate: GateProcess, clips: dict[str, Path]
) -> None:
    token = parse_tokens(gate.tokens)[0].token.get_secret_value()
    admin = (("authorization", f"Bearer {token}"),)

    def set_action(action: str) -> None:
        before = operator.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=admin)
        policy = json.loads(before.json)
        policy["match"]["sound_action"] = action
        for heard in ("gunfire", "explosion", "scream"):  # What the detector hears wants audio, too.
            policy["categories"][heard]["enabled"] = False
        request = operator_pb2.SetPolicyRequest(json=json.dumps(policy), reason="test")
        operator.SetPolicy(request, metadata=admin)

    with grpc.insecure_channel(gate.grpc) as channel:
        operator: Any = operator_pb2_grpc.OperatorStub(channel)
        set_action("pass")
        answers = watched(stub, clips["hidden"])
        assert not any(a.opened.tier.audio_wanted or a.tier.audio_wanted for a in answers)
        assert flags(answers) == []
        set_action("cut")
        stream_id = admit(stub, "cut-by-sound").stream_id
        call = stub.Watch(
            with_audio(stream_id, clips["hidden"], audio_print_of(clips["hidden"])), timeout=TIMEOUT_S
        )
        cut = next(a.verdict for a in call if a.verdict.action == gate_pb2.ACTION_CUT)
        call.cancel()
    assert (cut.reason, cut.signals[0].entry) == ("sound", "known")
    assert cut.blocked_provisionally, "until a person has listened"
