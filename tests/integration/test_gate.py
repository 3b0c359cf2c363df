"""A real gate process over real gRPC, with valid and broken media."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess
from tests.integration.calls import (
    TIMEOUT_S,
    admit,
    read_units,
    repeated,
    requests,
    status_of,
    watch,
    workers_of,
    write_footage,
)

APPEAL = "Write to appeals@example.org"
CONFIG = """
[limits]
max_access_unit_bytes = 1000000
max_streams = 40
max_streams_per_client = 30
max_connection_chars = 40
pull_from = ["rtmp://127.0.0.1:*", "http://127.0.0.1:*"]
[workers]
count = 2
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    messages = tmp_path_factory.mktemp("messages")
    for language in ("en", "ar"):
        text = json.dumps({"appeal": f"{APPEAL} ({language})"})
        (messages / f"{language}.json").write_text(text, encoding="utf-8")
    config = f'messages_dir = "{messages}"\n{CONFIG}'
    with GateProcess(tmp_path_factory.mktemp("gate"), config=config) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def channel(gate: GateProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gate.grpc) as open_channel:
        yield open_channel


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    return gate_pb2_grpc.GateStub(channel)


@pytest.fixture(scope="module")
def operator(channel: grpc.Channel) -> Any:
    return operator_pb2_grpc.OperatorStub(channel)


@pytest.fixture(scope="module")
def admin(gate: GateProcess) -> tuple[tuple[str, str], ...]:
    token = parse_tokens(gate.tokens)[0].token.get_secret_value()
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[gate_pb2.AccessUnit]]:
    """Extradata and access units of six seconds of moving test footage, GOP 1 s, 25 fps."""
    path = tmp_path_factory.mktemp("footage") / "moving.mp4"
    write_footage(path, seconds=6)
    return read_units(path)


# Admission.


def test_admission_gives_a_new_stream_and_the_same_connection_the_same(stub: Any) -> None:
    first, second = admit(stub, connection="same"), admit(stub, connection="same")
    other = admit(stub)
    assert first.allowed
    assert first.reason == gate_pb2.REASON_CODE_ADMITTED
    assert first.watch_mode == gate_pb2.WATCH_MODE_PUSH
    assert first.stream_id == second.stream_id != other.stream_id


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"broadcaster": "x" * 257}, "broadcaster: 257 characters is over the limit of 256"),
        ({"connection": "a\nb"}, "connection: control character"),
        ({"connection": "c" * 41}, "connection: 41 characters is over the limit of 40"),
        ({"attributes": {str(n): "" for n in range(33)}}, "attributes: 33 entries"),
    ],
)
def test_what_callers_send_is_bounded(stub: Any, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        admit(stub, **fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named in str(caught.value.details())


def test_a_block_refuses_in_two_languages_until_it_is_lifted(stub: Any, operator: Any, admin: Any) -> None:
    block = operator.AddBlock(
        operator_pb2.AddBlockRequest(subject="berta", duration_ms=3_600_000, reason="test"), metadata=admin
    )
    refused = admit(stub, "berta")
    assert not refused.allowed
    assert refused.stream_id == ""
    assert refused.reason == gate_pb2.REASON_CODE_BLOCKED
    assert refused.blocked_until_wall_ms == block.until_wall_ms
    assert refused.block_id == block.id
    assert refused.message.en.endswith(f"{APPEAL} (en)")
    assert refused.message.ar.endswith(f"{APPEAL} (ar)")
    assert any("\u0600" <= character <= "\u06ff" for character in refused.message.ar)
    listed = operator.ListBlocks(operator_pb2.ListBlocksRequest(subject="berta"), metadata=admin).blocks
    assert [entry.id for entry in listed] == [block.id]
    operator.LiftBlock(operator_pb2.LiftBlockRequest(block_id=block.id, reason="mistake"), metadata=admin)
    assert admit(stub, "berta").allowed


# Operators.


def test_operator_wants_a_token_and_a_role(gate: GateProcess, operator: Any) -> None:
    request = operator_pb2.ListBlocksRequest()
    for metadata in ((), (("authorization", "Bearer wrong-token-wrong-token"),)):
        with pytest.raises(grpc.RpcError) as caught:
            operator.ListBlocks(request, metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with gate.tokens.open("a", encoding="utf-8") as file:
        file.write("viewer vera a-viewer-token-of-vera\n")
    viewer = (("authorization", "Bearer a-viewer-token-of-vera"),)
    operator.ListBlocks(request, metadata=viewer)
    with pytest.raises(grpc.RpcError) as caught:
        operator.AddBlock(operator_pb2.AddBlockRequest(subject="x", reason="y"), metadata=viewer)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "reviewer" in str(caught.value.details())


def test_who_has_not_signed_in_learns_nothing_of_the_token_file(
    gate: GateProcess, stub: Any, operator: Any, admin: Any
) -> None:
    """With swapped columns the word at fault is a token."""
    right = gate.tokens.read_text(encoding="utf-8")
    token = right.split()[-1]
    stranger = (("authorization", "Bearer nobody-has-this-token"),)
    try:
        for wrong, mode in ((f"{token} local admin\n", 0o600), (right, 0o644)):
            gate.tokens.write_text(wrong, encoding="utf-8")
            gate.tokens.chmod(mode)
            for metadata in (stranger, admin):
                for call, request in (
                    (operator.ListBlocks, operator_pb2.ListBlocksRequest()),
                    (stub.ConfirmCut, gate_pb2.ConfirmCutRequest(stream_id="st_unknown")),
                ):
                    with pytest.raises(grpc.RpcError) as caught:
                        call(request, metadata=metadata)
                    said = f"{caught.value.details()} {caught.value.trailing_metadata()}"
                    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                    assert token not in said
                    assert "tokens" not in said
                    assert str(gate.tokens.parent) not in said
            alarms = httpx.get(f"http://{gate.http}/healthz").text
            assert "alarm: tokens refused" in alarms
        assert str(gate.tokens) in gate.log()
        assert token not in gate.log()
    finally:
        gate.tokens.write_text(right, encoding="utf-8")
        gate.tokens.chmod(0o600)
    operator.ListBlocks(operator_pb2.ListBlocksRequest(), metadata=admin)
    assert "tokens" not in httpx.get(f"http://{gate.http}/healthz").text


def test_an_error_says_what_it_is_and_whether_a_retry_can_help(operator: Any, admin: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        operator.LiftBlock(operator_pb2.LiftBlockRequest(block_id="bl_none", reason="y"), metadata=admin)
    assert {("edge-reason", "not_found"), ("edge-retryable", "false")} <= set(
        caught.value.trailing_metadata()
    )


def test_what_a_person_changes_waits_for_another_writer_of_the_ledger(
    gate: GateProcess, operator: Any, admin: Any
) -> None:
    request = operator_pb2.AddBlockRequest(subject="waited-for", duration_ms=60_000, reason="test")
    locker = sqlite3.connect(gate.tokens.parent / "edge.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    try:
        adding = operator.AddBlock.future(request, metadata=admin, timeout=TIMEOUT_S)
        # This is longer than the limit of the gate's own writes.
        with pytest.raises(grpc.FutureTimeoutError):
            adding.result(1.5)
    finally:
        locker.execute("ROLLBACK")
        locker.close()
    assert adding.result().subject == "waited-for"


def test_policy_versions(operator: Any, admin: Any) -> None:
    before = operator.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=admin)
    stored = operator.SetPolicy(
        operator_pb2.SetPolicyRequest(json=before.json, expected_version=before.version, reason="no change"),
        metadata=admin,
    )
    assert stored.version == before.version + 1
    with pytest.raises(grpc.RpcError) as caught:
        operator.SetPolicy(
            operator_pb2.SetPolicyRequest(json=before.json, expected_version=before.version), metadata=admin
        )
    assert caught.value.code() is grpc.StatusCode.ABORTED
    with pytest.raises(grpc.RpcError) as caught:
        operator.SetPolicy(operator_pb2.SetPolicyRequest(json='{"budget_ms": 1}'), metadata=admin)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "policy.budget_ms" in str(caught.value.details())


def test_health_and_reflection(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "edge.gate.v1.Gate", "edge.operator.v1.Operator"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (listed,) = list(reflection.ServerReflectionInfo(asked, timeout=TIMEOUT_S))
    names = {service.name for service in listed.list_services_response.service}
    assert {"edge.gate.v1.Gate", "edge.operator.v1.Operator"} <= names


# Watching.


def test_media_is_judged_and_the_watermark_advances(
    stub: Any, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    extradata, units = footage
    stream_id = admit(stub).stream_id
    answers = watch(stub, requests(stream_id, extradata, units, pace=0.01))
    assert answers[0].WhichOneof("response") == "opened"
    verdicts = [answer.verdict for answer in answers if answer.WhichOneof("response") == "verdict"]
    assert len(verdicts) >= 6
    cleared = [answer.cleared_pts_ms for answer in answers]
    assert cleared == sorted(cleared)
    for verdict in verdicts:
        assert verdict.model_digest
        assert verdict.policy_version >= 1
        assert {signal.source for signal in verdict.signals} >= {"detect"}
    assert [verdict.pts_ms for verdict in verdicts] == sorted(verdict.pts_ms for verdict in verdicts)


def test_a_stream_is_watched_by_one_call(stub: Any, footage: tuple[bytes, list[gate_pb2.AccessUnit]]) -> None:
    extradata, units = footage
    stream_id = admit(stub).stream_id
    first: Any = stub.Watch(requests(stream_id, extradata, units, pace=0.05), timeout=TIMEOUT_S)
    next(first)
    error = status_of(stub, requests(stream_id, extradata, units))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    first.cancel()


def test_a_stream_whose_publisher_is_gone_takes_no_place(
    stub: Any, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    """Otherwise short streams would soon be too many, with hardly any of them live."""
    extradata, units = footage
    stream_id = admit(stub).stream_id
    watch(stub, requests(stream_id, extradata, units[:20], reason="reconfigured"))
    watch(stub, requests(stream_id, extradata, units[:20]))
    assert status_of(stub, requests(stream_id, extradata, units)).code() is grpc.StatusCode.NOT_FOUND
    for _ in range(40):
        admitted = admit(stub, once=True)
        assert admitted.allowed
        watch(stub, requests(admitted.stream_id, extradata, units[:1]))


def test_a_gate_whose_log_nobody_reads_goes_on(
    tmp_path: Path, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    """The reader of stderr hangs: a stopped terminal or a log collector."""
    extradata, units = footage
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    (tmp_path / "gate.log").symlink_to(f"/proc/{os.getpid()}/fd/{writing}")
    with GateProcess(tmp_path, config=CONFIG) as gate, grpc.insecure_channel(gate.grpc) as channel:
        (tmp_path / "gate.log").unlink()
        (tmp_path / "gate.log").touch()
        stub: Any = gate_pb2_grpc.GateStub(channel)
        for _ in range(60):
            watch(stub, requests(admit(stub).stream_id, extradata, units[:1]))
        answers = watch(stub, requests(admit(stub).stream_id, extradata, units, pace=0.02))
        assert sum(answer.WhichOneof("response") == "verdict" for answer in answers) >= 3
        assert gate.stop() == 0
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("codec", "extradata", "code", "named"),
    [
        ("vp8", b"", grpc.StatusCode.INVALID_ARGUMENT, "open.codec"),
        ("h264", b"\x00" * 70_000, grpc.StatusCode.INVALID_ARGUMENT, "extradata"),
        ("", b"", grpc.StatusCode.INVALID_ARGUMENT, "open.codec"),
    ],
)
def test_open_is_checked(stub: Any, codec: str, extradata: bytes, code: grpc.StatusCode, named: str) -> None:
    error = status_of(
        stub, requests(admit(stub, f"open {codec} {named}").stream_id, extradata, [], codec=codec)
    )
    assert error.code() is code
    assert named in str(error.details())
    assert {("edge-fault", "publisher")} <= set(error.trailing_metadata())


def test_protocol_errors_have_clear_statuses(stub: Any) -> None:
    error = status_of(stub, iter([gate_pb2.WatchRequest(end=gate_pb2.WatchEnd())]))
    assert (error.code(), "open" in str(error.details())) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    error = status_of(stub, requests("st_unknown", b"", []))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert {("edge-fault", "gate")} <= set(error.trailing_metadata())
    large = gate_pb2.AccessUnit(data=bytes(1_000_001), keyframe=True)
    error = status_of(stub, requests(admit(stub, "large").stream_id, b"", [large]))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "access_unit.data" in str(error.details())
    assert {("edge-fault", "publisher")} <= set(error.trailing_metadata())
    with pytest.raises(grpc.RpcError) as caught:
        stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id="st_unknown"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Attach(gate_pb2.AttachRequest(stream_id=admit(stub).stream_id, url="file:///etc/passwd")))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "scheme" in str(caught.value.details())


def broken(kind: str, units: list[gate_pb2.AccessUnit]) -> list[gate_pb2.AccessUnit]:
    source = random.Random(7)
    changed = [gate_pb2.AccessUnit.FromString(unit.SerializeToString()) for unit in units]
    for index, unit in enumerate(changed):
        match kind:
            case "random":
                unit.data = source.randbytes(400)
            case "truncated":
                unit.data = unit.data[: len(unit.data) // 3]
            case "empty":
                unit.data = b""
            case "backwards":
                unit.pts_ms = unit.dts_ms = 10_000 - unit.pts_ms
            case "wrapping":
                unit.pts_ms = (unit.pts_ms + 2**32 - 2000) % 2**32
                unit.dts_ms = (unit.dts_ms + 2**32 - 2000) % 2**32
            case "no_keyframe":
                unit.keyframe = False
            case "huge_times":
                unit.pts_ms = source.randrange(-(2**62), 2**62)
            case "every_tenth":
                if index % 10 == 5:
                    unit.data = source.randbytes(len(unit.data))
    return changed


@pytest.mark.parametrize(
    "kind",
    ["random", "truncated", "empty", "backwards", "wrapping", "no_keyframe", "huge_times", "every_tenth"],
)
def test_broken_media_ends_in_a_status_and_takes_nothing_down(
    kind: str, stub: Any, gate: GateProcess, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    extradata, units = footage
    stream_id = admit(stub, f"broken {kind}").stream_id
    try:
        watch(stub, requests(stream_id, extradata, broken(kind, units), pace=0.002))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017
        assert error.details()  # noqa: PT017
    good = watch(stub, requests(admit(stub).stream_id, extradata, units, pace=0.002))
    assert any(answer.WhichOneof("response") == "verdict" for answer in good)


def test_wrong_extradata_ends_in_a_status(
    stub: Any, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    _, units = footage
    error = status_of(
        stub, requests(admit(stub, "wrong extradata").stream_id, b"\x01\xff\xee", units * 2, pace=0.002)
    )
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_block_cuts_every_running_stream_of_its_broadcaster(
    stub: Any, operator: Any, admin: Any, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    extradata, units = footage
    streams = [admit(stub, "carla").stream_id for _ in range(2)]
    calls = [
        stub.Watch(requests(stream_id, extradata, units, pace=0.02), timeout=TIMEOUT_S)
        for stream_id in streams
    ]
    for call in calls:
        next(call)
    operator.AddBlock(operator_pb2.AddBlockRequest(subject="carla", reason="test"), metadata=admin)
    for stream_id, call, metadata in zip(streams, calls, (None, admin), strict=True):
        cut = next(a.verdict for a in call if a.verdict.action == gate_pb2.ACTION_CUT)
        assert cut.reason == "blocked"
        assert cut.message.en
        confirmed = stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id), metadata=metadata)
        assert confirmed.time_to_cut_ms >= 0
        call.cancel()
    assert not admit(stub, "carla").allowed


def test_a_viewer_s_list_lets_nobody_act_on_a_stream(
    gate: GateProcess,
    stub: Any,
    operator: Any,
    admin: Any,
    footage: tuple[bytes, list[gate_pb2.AccessUnit]],
) -> None:
    extradata, units = footage
    admitted = admit(stub, "dora")
    call = stub.Watch(requests(admitted.stream_id, extradata, units, pace=0.02), timeout=TIMEOUT_S)
    next(call)
    with gate.tokens.open("a", encoding="utf-8") as file:
        file.write("viewer wanda a-viewer-token-of-wanda\n")
    viewer = (("authorization", "Bearer a-viewer-token-of-wanda"),)
    listed = operator.ListStreams(operator_pb2.ListStreamsRequest(), metadata=viewer).streams
    (shown,) = [stream for stream in listed if stream.broadcaster == "dora"]
    assert admitted.stream_id.startswith(shown.stream_id)
    assert len(admitted.stream_id) == len(shown.stream_id) + 16
    assert not shown.connection
    after = operator_pb2.ListStreamsRequest(after_id=shown.stream_id)
    assert shown not in operator.ListStreams(after, metadata=viewer).streams
    operator.AddBlock(operator_pb2.AddBlockRequest(subject="dora", reason="test"), metadata=admin)
    confirmation = gate_pb2.ConfirmCutRequest(stream_id=admitted.stream_id)
    with grpc.insecure_channel(gate.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stranger = gate_pb2_grpc.GateStub(channel)
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            stranger.ConfirmCut(confirmation)
        assert next(a for a in call if a.verdict.action == gate_pb2.ACTION_CUT)
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            stranger.ConfirmCut(confirmation, metadata=viewer)
        confirmation.admission_secret = admitted.admission_secret
        assert stranger.ConfirmCut(confirmation).time_to_cut_ms >= 0


def test_a_killed_worker_costs_a_moment_and_no_stream(
    stub: Any, gate: GateProcess, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    extradata, units = footage
    messages = requests(admit(stub).stream_id, extradata, repeated(units, 20), pace=0.04)
    call = stub.Watch(messages, timeout=2 * TIMEOUT_S)
    next(call)
    for pid in workers_of(gate.pid):
        os.kill(pid, signal.SIGKILL)
    seen = []
    for answer in call:
        seen.append(answer.degraded.reason or answer.WhichOneof("response"))
        if seen[-1] == "verdict" and "worker_lost" in seen:
            break
    assert "worker_lost" in seen
    assert seen[-1] == "verdict"
    call.cancel()


def test_the_end_of_a_stream_reaches_the_worker_that_comes_after(
    stub: Any, gate: GateProcess, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    """All workers die, and the caller ends before another worker is up."""
    extradata, units = footage
    call = stub.Watch(requests(admit(stub).stream_id, extradata, units[:60]), timeout=2 * TIMEOUT_S)
    next(call)
    for pid in workers_of(gate.pid):
        os.kill(pid, signal.SIGKILL)
    assert list(call) is not None
    assert call.code() is grpc.StatusCode.OK


def test_a_late_end_of_an_old_call_does_not_touch_the_new_one(
    stub: Any, footage: tuple[bytes, list[gate_pb2.AccessUnit]]
) -> None:
    extradata, units = footage
    stream_id = admit(stub, "reopening").stream_id
    for _ in range(5):
        call: Any = stub.Watch(requests(stream_id, extradata, units, pace=0.02), timeout=TIMEOUT_S)
        next(call)
        call.cancel()
        answers: list[gate_pb2.WatchResponse] = []
        deadline = time.monotonic() + TIMEOUT_S
        while not answers and time.monotonic() < deadline:
            try:
                answers = watch(
                    stub, requests(stream_id, extradata, units[:75], pace=0.01, reason="reconfigured")
                )
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.ALREADY_EXISTS  # noqa: PT017
        assert sum(answer.WhichOneof("response") == "verdict" for answer in answers) >= 5


def test_a_pull_is_attached_judged_and_detached(stub: Any, tmp_path: Path) -> None:
    """A live FLV over HTTP, sent in real time to the gate that asks for it."""
    path = tmp_path / "served.flv"
    write_footage(path, seconds=8)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_live, args=(listener, path.read_bytes(), 8.0), daemon=True).start()
        stream_id = admit(stub, "pulled").stream_id
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/live.flv"
        seen = []
        for answer in stub.Attach(gate_pb2.AttachRequest(stream_id=stream_id, url=url), timeout=TIMEOUT_S):
            seen.append(answer.WhichOneof("response"))
            if seen[-1] == "verdict" and seen.count("verdict") == 3:
                over = gate_pb2.DetachRequest(stream_id=stream_id, reason="closed")
                stub.Detach(over, timeout=TIMEOUT_S)
    assert seen.count("verdict") >= 3
    with pytest.raises(grpc.RpcError) as caught:
        stub.Detach(gate_pb2.DetachRequest(stream_id=stream_id), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Attach(gate_pb2.AttachRequest(stream_id=stream_id, url=url), timeout=TIMEOUT_S))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_gate_pulls_nothing_that_nobody_has_named(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        GateProcess(tmp_path, config="[workers]\ncount = 1\n") as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        stub: Any = gate_pb2_grpc.GateStub(channel)
        stream_id = admit(stub).stream_id
        port = listener.getsockname()[1]
        for scheme in ("http", "rtmp", "rtsp", "tcp"):
            request = gate_pb2.AttachRequest(stream_id=stream_id, url=f"{scheme}://127.0.0.1:{port}/latest/")
            with pytest.raises(grpc.RpcError) as caught:
                list(stub.Attach(request, timeout=TIMEOUT_S))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "url: " in str(caught.value.details())
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()


def serve_live(listener: socket.socket, media: bytes, seconds: float) -> None:
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/x-flv\r\n\r\n")
        pieces = 160
        for number in range(pieces):
            start, end = number * len(media) // pieces, (number + 1) * len(media) // pieces
            connection.sendall(media[start:end])
            time.sleep(seconds / pieces)


def test_a_peer_is_refused_openly_when_it_has_its_share_and_streams_come_in_pages(
    stub: Any, operator: Any, admin: Any
) -> None:
    # All at once: on a busy machine the first ones, which nobody watches, would give their places up before
    # the last ones come.
    with ThreadPoolExecutor(60) as crowd:
        answers = list(crowd.map(lambda n: admit(stub, f"crowd{n}", once=True), range(60)))
    refused = [answer for answer in answers if not answer.allowed]
    assert all(answer.reason == gate_pb2.REASON_CODE_CAPACITY for answer in refused)
    assert refused[0].message.en
    seen: list[str] = []
    while page := operator.ListStreams(
        operator_pb2.ListStreamsRequest(limit=7, after_id=seen[-1] if seen else ""), metadata=admin
    ).streams:
        assert len(page) <= 7
        seen += [stream.stream_id for stream in page]
    assert len(seen) == len(set(seen))
    admitted = [answer.stream_id for answer in answers if answer.allowed]
    assert admitted[-1] in seen, "earlier ones may have given their places up, because nobody watches them"
    with pytest.raises(grpc.RpcError, match="limit"):
        operator.ListStreams(operator_pb2.ListStreamsRequest(limit=5000), metadata=admin)


def test_sigterm_drains(tmp_path: Path, footage: tuple[bytes, list[gate_pb2.AccessUnit]]) -> None:
    extradata, units = footage
    with (
        GateProcess(tmp_path / "gate", config="[workers]\ncount = 1\n") as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):
        stub: Any = gate_pb2_grpc.GateStub(channel)
        call = stub.Watch(requests(admit(stub).stream_id, extradata, units, pace=0.05), timeout=TIMEOUT_S)
        next(call)
        children = workers_of(running.pid)
        assert running.stop() == 0
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    for pid in children:
        assert not Path(f"/proc/{pid}").exists()
