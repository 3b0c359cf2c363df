"""Only the caller that had a stream admitted acts on it, and a confirmation is looked at."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edge.config import WithoutSecret
from edge.contract.gen import gate_pb2
from edge.domain import Publish, StreamId
from edge.errors import ConfigError, NotFound
from edge.reasons import EndReason
from edge.supervise.authority import NOBODY, Authority, Caller, admission_key
from edge.supervise.live_stream import LiveStream
from edge.telemetry.records import CutProven
from tests.supervise.gate_without_workers import SERVER, Bench, gate_without_workers

OURS = Caller("ipv4:127.0.0.1", "ipv4:127.0.0.1:4001")
STRANGER = Caller("ipv4:127.0.0.1", "ipv4:127.0.0.1:4002")
URL = "rtmp://127.0.0.1/live/show"


async def admitted(bench: Bench, caller: Caller = OURS, broadcaster: str = "anna") -> StreamId:
    admission = await bench.gate.admit(Publish("grpc", "c1", "live", "show", broadcaster), caller)
    assert admission.stream_id is not None
    return admission.stream_id


def cut_told(stream: LiveStream) -> list[gate_pb2.Verdict]:
    assert stream.responses is not None
    told = [answer.verdict for answer in stream.responses._queue if answer.HasField("verdict")]
    return [verdict for verdict in told if verdict.action == gate_pb2.ACTION_CUT]


@pytest.mark.parametrize("without_secret", WithoutSecret)
def test_who_may_act(without_secret: WithoutSecret) -> None:
    authority = Authority(b"k" * 32, without_secret)
    right = Caller("another", "another:1", authority.secret_of("st_1"))
    wrong = Caller(OURS.client, OURS.connection, authority.secret_of("st_2"))
    by_name = Caller("tls:ingest", "tls:ingest")
    allowed = {
        "right": authority.allows("st_1", OURS, right),
        "right, after a restart": authority.allows("st_1", NOBODY, right),
        "wrong": authority.allows("st_1", OURS, wrong),
        "not ASCII": authority.allows("st_1", OURS, Caller(secret="é")),
        "same connection": authority.allows("st_1", OURS, OURS),
        "same address": authority.allows("st_1", OURS, STRANGER),
        "same certificate": authority.allows("st_1", by_name, by_name),
        "nobody": authority.allows("st_1", NOBODY, NOBODY),
        "nobody, after a restart": authority.allows("st_1", NOBODY, STRANGER),
    }
    expected = {"right", "right, after a restart"}
    if without_secret is not WithoutSecret.DENY:
        expected |= {"same connection", "same certificate"}
    if without_secret is WithoutSecret.ADDRESS:
        expected |= {"same address"}
    assert {name for name, allows in allowed.items() if allows} == expected


def test_the_key_outlives_the_gate_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "admission.key"
    key = admission_key(path)
    assert admission_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert admission_key(tmp_path / "other.key") != key
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        admission_key(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="32 bytes"):
        admission_key(path)
    assert "secret" not in repr(Caller("a", "b", "secret"))


async def test_a_stranger_who_knows_the_id_neither_watches_nor_ends_nor_confirms(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        router, stream_id = bench.gate.router, await admitted(bench)
        for act in (
            lambda: router.open_push(stream_id, "h264", b"", STRANGER),
            lambda: router.attach_call(stream_id, URL, STRANGER),
            lambda: router.detach(stream_id, EndReason.PUBLISHER_GONE, STRANGER),
            lambda: bench.gate.confirm_cut(stream_id, 0, STRANGER),
        ):
            with pytest.raises(NotFound):
                act()
        stream = router.open_push(stream_id, "h264", b"", OURS)
        bench.judged(stream_id)
        await bench.until(lambda: cut_told(stream))
        with pytest.raises(NotFound):
            bench.gate.confirm_cut(stream_id, 0, STRANGER)
        assert not bench.recorded.of(CutProven)
        assert bench.gate.confirm_cut(stream_id, 0, OURS) >= 0
        await bench.until(lambda: bench.recorded.of(CutProven))


async def test_a_hook_s_stream_is_nobody_s_over_grpc(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched("7")
        for caller in (STRANGER, NOBODY):
            with pytest.raises(NotFound):
                bench.gate.confirm_cut(stream_id, 0, caller)
        # Who names the connection of a hook's stream gets no stream of the hook's.
        again = await bench.gate.admit(Publish(SERVER, "7", "live", "show", "anna"), STRANGER)
        assert again.stream_id != stream_id
        assert bench.gate.registry.find(stream_id) is not None


async def test_a_caller_that_connects_anew_asks_again_and_has_its_stream(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await admitted(bench)
        anew = Caller(OURS.client, "ipv4:127.0.0.1:4003")
        with pytest.raises(NotFound):
            bench.gate.router.open_push(stream_id, "h264", b"", anew)
        assert await admitted(bench, anew) == stream_id
        bench.gate.router.open_push(stream_id, "h264", b"", anew)


async def test_a_confirmation_ends_no_cut_while_the_server_has_the_publisher(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        bench.judged(stream_id)
        await bench.until(lambda: bench.server.asked)
        bench.gate.confirm_cut(stream_id, 0, bench.caller(stream_id))
        await bench.gate.publish_ended(SERVER, "7", "live", "show")
        asked = len(bench.server.asked)
        await bench.until(lambda: len(bench.server.asked) > asked + 1)
        assert not bench.recorded.of(CutProven)
        bench.server.gone = True
        await bench.gate.publish_ended(SERVER, "7", "live", "show")
        await bench.until(lambda: bench.recorded.of(CutProven))


@pytest.mark.parametrize("opening", ["push", "pull"])
async def test_a_block_between_admit_and_watch_is_answered_with_its_cut(tmp_path: Path, opening: str) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await admitted(bench)
        await bench.block("anna")
        await bench.until(lambda: bench.gate.registry.get(stream_id).cutting)
        router = bench.gate.router
        if opening == "push":
            stream = router.open_push(stream_id, "h264", b"", OURS)
        else:
            stream = router.attach_call(stream_id, URL, OURS)
        await bench.until(lambda: cut_told(stream))
        (verdict,) = cut_told(stream)
        assert (verdict.reason, bool(verdict.message.en)) == ("blocked", True)
        assert bench.workers.sent_to(stream_id) == []
        responses = stream.responses
        assert responses is not None
        bench.gate.confirm_cut(stream_id, 0, OURS)
        await bench.until(lambda: responses.closed)
        assert responses.error is None


async def test_a_call_that_is_opened_anew_after_the_cut_gets_it_again(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await admitted(bench)
        stream = bench.gate.router.open_push(stream_id, "h264", b"", OURS)
        assert stream.responses is not None
        bench.gate.router.call_ended(stream, stream.responses)
        await bench.block("anna")
        again = bench.gate.router.open_push(stream_id, "h264", b"", OURS)
        await bench.until(lambda: len(cut_told(again)) == 1)
