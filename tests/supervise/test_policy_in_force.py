"""A policy with a thousand pairs of overrides is resolved only on demand."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge import turns
from edge.api.failed_calls import FailedCalls, Turnstile
from edge.api.operator_servicer import OperatorServicer
from edge.contract.gen import operator_pb2
from edge.domain import Publish, StreamId
from edge.policy import MAX_OVERRIDES, Policy
from edge.supervise.policy_in_force import MAX_RESOLVED, PolicyInForce
from tests.supervise.gate_without_workers import gate_without_workers

WIDEST = Policy(
    apps={f"app-{number}": {"budget_ms": 100 + number} for number in range(MAX_OVERRIDES)},
    tenants={f"tenant-{number}": {"tiers": {"burst_ms": 100 + number}} for number in range(MAX_OVERRIDES)},
)


@pytest.fixture
def resolved_by(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records the thread of each resolution of an override."""
    threads: list[int] = []
    resolve = Policy._resolved

    def counted(self: Policy, app: str | None, tenant: str | None) -> Policy:
        if app or tenant:
            threads.append(threading.get_ident())
        return resolve(self, app, tenant)

    monkeypatch.setattr(Policy, "_resolved", counted)
    return threads


def publish(app: str, tenant: str = "") -> Publish:
    return Publish("grpc", "1", app, "name", "anna", attributes={"tenant": tenant})


def test_each_pair_is_resolved_once_and_only_when_asked_for(resolved_by: list[int]) -> None:
    in_force = PolicyInForce(WIDEST)
    assert not resolved_by
    for _ in range(100):
        own = in_force.for_publish(publish("app-1", "tenant-2"))
        assert (own.budget_ms, own.tiers.burst_ms) == (101, 102)
        assert Policy.model_validate_json(in_force.json_for(publish("app-1", "tenant-2"))) == own
    # No override matches an unknown name, so one policy serves all such publishers.
    names = [in_force.for_publish(publish(f"unknown-{number}")) for number in range(100)]
    assert all(own is names[0] for own in names)
    assert len(resolved_by) == 1


def test_what_is_kept_is_bounded() -> None:
    in_force = PolicyInForce(WIDEST)
    for app in WIDEST.apps:
        for tenant in WIDEST.tenants:
            in_force.for_publish(publish(app, tenant))
    assert in_force._resolved.cache_info().currsize == MAX_RESOLVED


class _Admin(OperatorServicer):
    async def person(self, context: Any, role: Any) -> Any:
        return type("Person", (), {"name": "root"})


async def test_a_new_policy_is_checked_and_applied_between_admissions(
    tmp_path: Path, resolved_by: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SLICE_MS", 0.0)  # each stream is a slice of its own
    async with gate_without_workers(tmp_path) as bench:
        for number in range(MAX_OVERRIDES):
            stream = await bench.gate.admit(
                Publish("pulled", f"{number}", f"app-{number}", "show", f"b{number}")
            )
            await bench.gate.attach(StreamId(stream.stream_id or ""), "rtmp://127.0.0.1/live/show")
        resolved_by.clear()
        most, ended = 0, False

        async def admissions() -> None:
            nonlocal most
            while not ended:
                before = resolved_by.count(threading.get_ident())
                await asyncio.sleep(0)
                most = max(most, resolved_by.count(threading.get_ident()) - before)

        admitting = asyncio.create_task(admissions())
        turnstile = Turnstile(FailedCalls(), bench.gate.clock)
        servicer = _Admin(bench.gate, None, turnstile)  # type: ignore[arg-type]  # the person is given
        context = SimpleNamespace(peer=lambda: "unix:")
        request = operator_pb2.SetPolicyRequest(json=WIDEST.model_dump_json(), reason="test")
        answer = await servicer.SetPolicy(request, context)  # type: ignore[arg-type]
        ended = True
        await admitting
        assert answer.version == bench.gate._context.policy.version
        told = {to for to, command in bench.workers.sent if command.HasField("set_policy")}
        assert len(told) == MAX_OVERRIDES
        assert resolved_by.count(threading.get_ident()) == MAX_OVERRIDES, "one for each app that is on air"
        assert most <= 2
