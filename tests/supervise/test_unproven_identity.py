"""A violation under a name that nobody has checked never falls on the account of that name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.api.auth import TokenFile
from edge.api.connections import BusyPeers
from edge.api.failed_calls import FailedCalls, Turnstile
from edge.api.gate_servicer import GateServicer
from edge.contract.gen import gate_pb2
from edge.domain import SubjectKind
from edge.reasons import AdmissionReason
from tests.supervise.gate_without_workers import SERVER, Bench, gate_without_workers

KEY = "k1"


async def admitted(bench: Bench, connection: str, proven: bool | None, **changed: str) -> Any:
    """By the contract, as an ingest server asks."""
    fields = {"name": "show", "broadcaster": "victim", "address": "192.0.2.7", "key": KEY, **changed}
    request = gate_pb2.AdmitRequest(
        server=SERVER,
        connection=connection,
        app="live",
        name=fields["name"],
        broadcaster=fields["broadcaster"],
        address=fields["address"],
        attributes={"stream_key": fields["key"]} if fields["key"] else {},
    )
    if proven is not None:
        request.identity_proven = proven
    context: Any = SimpleNamespace(auth_context=dict, peer=lambda: "unix:")
    return await GateServicer(
        bench.gate,
        TokenFile(bench.gate.settings.operator_tokens),
        BusyPeers(),
        Turnstile(FailedCalls(), bench.gate.clock),
    ).Admit(request, context)


async def violated(bench: Bench, proven: bool | None, **changed: str) -> None:
    answer = await admitted(bench, "1", proven, **changed)
    assert answer.allowed
    await bench.gate.attach(answer.stream_id, "rtmp://127.0.0.1/live/show")
    bench.judged(answer.stream_id)
    await bench.until(lambda: bench.server.asked)


@pytest.mark.parametrize("proven", [None, True])
async def test_a_proven_account_is_blocked_by_name(tmp_path: Path, proven: bool | None) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await violated(bench, proven)
        again = await admitted(bench, "2", None, address="198.51.100.1", key="k2")
        assert again.reason == gate_pb2.REASON_CODE_BLOCKED
        assert len(bench.gate.ledger.strikes_of("victim")) == 1


async def test_an_unproven_name_is_not_blocked_but_key_and_address_are(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await violated(bench, False)
        assert {(b.subject_kind, b.subject) for b in bench.gate.ledger.blocks(wall_ms=0)} == {
            (SubjectKind.STREAM_KEY, KEY),
            (SubjectKind.ADDRESS, "192.0.2.7"),
        }
        assert bench.gate.ledger.strikes_of("victim") == ()
        assert (await admitted(bench, "2", True, address="198.51.100.1", key="k2")).allowed, (
            "the victim goes live"
        )
        for changed in ({"key": "k2"}, {"address": "198.51.100.1"}, {"key": "k2", "broadcaster": "another"}):
            answer = await admitted(bench, "3", False, **changed)
            assert answer.reason == gate_pb2.REASON_CODE_BLOCKED, changed


async def test_with_nothing_to_block_the_stream_is_cut_all_the_same(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await violated(bench, False, address="127.0.0.1", key="")
        assert bench.gate.ledger.blocks(wall_ms=0) == ()
        [incident] = bench.gate.ledger.incidents()
        assert not incident.publish.identity_proven


async def test_its_strikes_add_up_by_address(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await violated(bench, False)
        assert len(bench.gate.ledger.strikes_of("unproven/192.0.2.7")) == 1


async def test_a_blocked_name_is_refused_to_everybody(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await bench.gate.actions.add_block(SubjectKind.BROADCASTER, "victim", "", 60_000, "test", "test")
        assert (await bench.admit("1", "show", "victim")).reason is AdmissionReason.BLOCKED
        assert not (await admitted(bench, "2", False)).allowed
