"""Any gate of a fleet shows the evidence that another gate has in its folder, and says when that is away."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
import trustme

from edge.api.auth import TokenFile
from edge.api.server import GrpcServer
from edge.contract.gen import operator_pb2, operator_pb2_grpc
from edge.domain import Action, Incident, Publish, ScorePoint, Verdict, new_id
from edge.errors import EvidenceElsewhere, EvidenceErased, GateAway, InvalidInput, NotFound
from edge.evidence import write_incident_record
from edge.fleet.gate_link import Asked
from edge.retention import ErasedWhy
from tests.match.test_incident_bank import clip_of
from tests.supervise.gate_without_workers import Bench, gate_without_workers

SECRET = "a secret of thirty-two characters"
CLIP = bytes(range(256)) * 4000


class Fleet(NamedTuple):
    here: Bench
    there: Bench
    server: GrpcServer
    """Of the gate there."""


@contextlib.asynccontextmanager
async def fleet_of_two(
    folder: Path, here: dict[str, Any] | None = None, there: dict[str, Any] | None = None, **grpc: Any
) -> AsyncIterator[Fleet]:
    """``grpc``: settings of the gate there; ``here`` and ``there`` of the fleet."""
    asks = {"secret": SECRET} if here is None else here
    shows = {"secret": SECRET, "address": "127.0.0.1:0"} if there is None else there
    listening = {"listen": "127.0.0.1:0", **grpc}
    ledger = folder / "ledger.db"
    async with (
        gate_without_workers(folder / "b", ledger=ledger, gate_name="b", fleet=shows, grpc=listening) as b,
        gate_without_workers(folder / "a", ledger=ledger, gate_name="a", fleet=asks) as a,
    ):
        tokens = b.gate.settings.operator_tokens
        tokens.write_text("viewer rolf a-token-of-a-test\n")
        tokens.chmod(0o600)
        server = GrpcServer(b.gate.settings, b.gate, TokenFile(tokens))
        await server.start()
        b.gate.announce(server.address)
        if b.gate.settings.fleet.address is not None:
            await b.until(lambda: a.ledger.gate_url("b"))
        try:
            yield Fleet(a, b, server)
        finally:
            await server.stop(0)


def opened(bench: Bench, clip: bytes | None = CLIP) -> Incident:
    incident = Incident(
        new_id("in"),
        new_id("st"),
        Publish("test", "7", "live", "show", "anna"),
        Verdict(Action.FLAG, 43_400, 42_960, "fight", score=0.9),
        1_700_000_000_000,
    )
    bench.ledger.record_incident(incident, incident.created_ms)
    if clip is not None:
        path = bench.gate.settings.evidence_folder / f"{incident.id}.mp4"
        path.write_bytes(clip)
        bench.ledger.set_evidence(incident.id, str(path), incident.created_ms, (40_000, 45_960))
    return bench.ledger.incident(incident.id)


async def test_a_clip_its_frames_and_its_account_come_from_the_gate_that_has_them(tmp_path: Path) -> None:
    async with fleet_of_two(tmp_path) as fleet:
        content = clip_of(tmp_path).read_bytes()
        incident = opened(fleet.there, content)
        scores = (ScorePoint(39_000, "fight", 0.25), ScorePoint(43_250, "fight", 0.9))
        write_incident_record(incident, fleet.there.gate.settings.evidence_folder, None, scores)
        evidence = fleet.here.gate.evidence
        for begin, length in ((0, 0), (0, 1), (5, 10), (len(content) - 3, 10**6)):
            clip = await evidence.clip(incident.id, "rita", begin, length)
            expected = content[begin : begin + length if length else None]
            assert b"".join([piece async for piece in clip.chunks]) == expected
            assert (clip.total_bytes, clip.begin, clip.length) == (len(content), begin, len(expected))
        assert await evidence.posters(incident.id, "rita") == await fleet.there.gate.evidence.posters(
            incident.id, "rolf"
        )
        account = await evidence.account(incident.id, "rita")
        assert (account.scores, account.clip_bytes) == (scores, len(content))
        assert list(fleet.here.gate.settings.evidence_folder.iterdir()) == [], "nothing of it stays here"
        read = [
            (row.who, row.detail) for row in fleet.here.ledger.audit_rows() if row.what == "evidence_read"
        ]
        assert [who for who, _ in read] == ["rita", "rolf"], "once, by the gate that is asked; a clip is all"
        assert all(f'"gate":"{"b" if who == "rolf" else "a"}"' in detail for who, detail in read)
        assert fleet.here.ledger.audit_verify()


async def test_what_the_other_gate_says_is_said_here(tmp_path: Path) -> None:
    async with fleet_of_two(tmp_path) as fleet:
        evidence, incident = fleet.here.gate.evidence, opened(fleet.there)
        with pytest.raises(InvalidInput, match=r"begin_bytes: 1024000 is not in the clip"):
            await evidence.clip(incident.id, "rita", len(CLIP))
        with pytest.raises(NotFound, match="no clip of incident"):
            await evidence.clip(opened(fleet.there, None).id, "rita")
        (fleet.there.gate.settings.evidence_folder / f"{incident.id}.mp4").unlink()
        fleet.there.ledger.record_evidence_erased(incident.id, ErasedWhy.AGE, (), "gate", 1_700_000_000_000)
        with pytest.raises(EvidenceErased, match=r"was erased on 2023-11-14"):
            await evidence.clip(incident.id, "rita")


async def test_a_gate_that_is_away_is_named(tmp_path: Path) -> None:
    async with fleet_of_two(tmp_path) as fleet:
        incident = opened(fleet.there)
        whole = await fleet.here.gate.evidence.clip(incident.id, "rita")
        assert await anext(whole.chunks)
        await fleet.server.stop(0)
        with pytest.raises(GateAway, match=r"gate 'b'"):
            [piece async for piece in whole.chunks]
        for read in (
            fleet.here.gate.evidence.clip,
            fleet.here.gate.evidence.posters,
            fleet.here.gate.evidence.account,
        ):
            with pytest.raises(GateAway, match=r"folder of gate 'b': nothing answers at 127\.0\.0\.1:\d+"):
                await read(incident.id, "rita")


@pytest.mark.parametrize(
    ("here", "there", "problem"),
    [
        ({}, None, r"set fleet\.secret here"),
        (None, {}, r"announces no address: set fleet\.address there"),
        ({"secret": SECRET[::-1]}, None, r"is fleet\.secret the same there\?"),
    ],
)
async def test_what_is_missing_between_two_gates_is_named(
    tmp_path: Path, here: dict[str, Any] | None, there: dict[str, Any] | None, problem: str
) -> None:
    async with fleet_of_two(tmp_path, here, there) as fleet:
        incident = opened(fleet.there)
        with pytest.raises(EvidenceElsewhere, match=problem):
            await fleet.here.gate.evidence.clip(incident.id, "rita")
        account = await fleet.here.gate.evidence.account(incident.id, "rita")
        assert (account.scores, account.clip_bytes) == ((), 0), "the ledger's part is shown"


async def test_gates_with_certificates_know_each_other_by_their_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("127.0.0.1")
    own.cert_chain_pems[0].write_to_path(tmp_path / "gate.pem")
    own.private_key_pem.write_to_path(tmp_path / "gate.key")
    certificates = {
        "tls_cert": tmp_path / "gate.pem",
        "tls_key": tmp_path / "gate.key",
        "tls_client_ca": tmp_path / "ca.pem",
    }
    shows = {"secret": SECRET, "address": "127.0.0.1:0"}
    for trusted, shown in ((tmp_path / "ca.pem", True), (None, False)):
        asks = {"secret": SECRET, "ca": trusted}
        async with fleet_of_two(tmp_path / str(shown), asks, shows, **certificates) as fleet:
            link = fleet.here.gate.link
            link._own_certificate = tmp_path / "gate.pem", tmp_path / "gate.key"
            incident = opened(fleet.there)
            assert (fleet.here.ledger.gate_url("b") or "").startswith("grpcs://127.0.0.1:")
            if shown:
                clip = await fleet.here.gate.evidence.clip(incident.id, "rita")
                assert b"".join([piece async for piece in clip.chunks]) == CLIP
            else:
                with pytest.raises(GateAway):
                    await fleet.here.gate.evidence.clip(incident.id, "rita")


async def test_evidence_does_not_pass_in_clear_unless_that_is_allowed(tmp_path: Path) -> None:
    shows = {"secret": SECRET, "address": "gate-b.example:50051"}
    async with fleet_of_two(tmp_path, there=shows) as fleet:
        with pytest.raises(EvidenceElsewhere, match=r"gate-b\.example:50051 has no TLS"):
            await fleet.here.gate.evidence.clip(opened(fleet.there).id, "rita")


async def test_an_unsigned_or_forged_call_gets_nothing(tmp_path: Path) -> None:
    async with fleet_of_two(tmp_path) as fleet:
        incident = opened(fleet.there)
        async with grpc.aio.insecure_channel(fleet.server.address) as channel:
            stub: Any = operator_pb2_grpc.OperatorStub(channel)
            for authorization in ("Fleet ", "Fleet W10=", "Fleet nonsense", ""):
                call = stub.GetEvidence(
                    operator_pb2.GetEvidenceRequest(incident_id=incident.id),
                    metadata=(("authorization", authorization),),
                )
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call.read()
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_address_is_announced_once_and_taken_back(tmp_path: Path) -> None:
    async with fleet_of_two(tmp_path) as fleet:
        ledger, url = fleet.there.ledger, fleet.here.ledger.gate_url("b")
        assert url is not None
        assert not ledger.announce_gate(url, 1)
        assert ledger.announce_gate("", 2)
        assert ledger.gate_url("b") is None
        announced = [row.subject for row in ledger.audit_rows() if row.what == "gate_address"]
        assert announced == ["b", "b"]
        assert ledger.audit_verify()


async def test_a_connection_makes_way_for_another_and_is_closed_once_its_answer_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.fleet.gate_link._CHANNELS", 1)
    async with fleet_of_two(tmp_path) as fleet:
        link, incident = fleet.here.gate.link, opened(fleet.there)
        clip = await fleet.here.gate.evidence.clip(incident.id, "rita")
        first = await anext(clip.chunks)
        [channel] = link._channels.values()
        with pytest.raises(GateAway):
            await anext(link.ask("c", "grpc://127.0.0.1:1", Asked(incident_id=incident.id), "rita"))
        assert channel not in link._channels.values()
        assert first + b"".join([piece async for piece in clip.chunks]) == CLIP
        await fleet.here.until(lambda: channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN)
