"""A gate runs the exchanges of its folder of banks when they are due."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.exchange.double import Failure, exchange_double
from edge.exchange.run_status import RunStatus
from edge.match import BankPurpose
from edge.telemetry.records import ExchangeMissed, ExchangeSynced
from tests.exchange.exchanges import added, held, plain, told
from tests.supervise.gate_without_workers import gate_without_workers


async def test_a_due_exchange_is_fetched_by_the_gates_own_table(tmp_path: Path) -> None:
    banks = tmp_path / "banks"
    with exchange_double() as server:
        server.put(*(told(number) for number in range(5)))
        added(banks, "http", options={"url": f"{server.url}/list.txt"})
        async with gate_without_workers(tmp_path) as bench:
            await bench.gate._exchanges.look()
            await bench.until(lambda: bench.recorded.of(ExchangeSynced))
            assert bench.recorded.of(ExchangeSynced)[0].added == 5
    assert held(banks) == {"partner": plain(range(5))}


async def test_a_failure_is_reported_and_the_gate_goes_on(tmp_path: Path) -> None:
    banks = tmp_path / "banks"
    with exchange_double() as server:
        server.fail_next(Failure(401))
        added(banks, "http", options={"url": f"{server.url}/list.txt"})
        async with gate_without_workers(tmp_path) as bench:
            await bench.gate._exchanges.look()
            await bench.until(lambda: bench.recorded.of(ExchangeMissed))
            assert "refused" in bench.recorded.of(ExchangeMissed)[0].error


def test_when_an_exchange_is_due(tmp_path: Path) -> None:
    definition = added(tmp_path, "file", options={"path": "/x"}, every_s=900, purpose=BankPurpose.COUNT)
    never = RunStatus()
    assert never.due_ms(definition) == 0
    assert never.due_ms(definition.model_copy(update={"enabled": False})) is None
    done = never.done(1_000_000, unfinished=False)
    assert done.due_ms(definition) == 1_900_000
    assert never.done(1_000_000, unfinished=True).due_ms(definition) == 1_000_000, "it goes on at once"
    failed = done.failed(2_000_000, "no", 0.0)
    assert 2_000_000 < (failed.due_ms(definition) or 0) <= 2_030_000
    assert (failed.failed(2_100_000, "no", 7200.0).due_ms(definition) or 0) == 2_100_000 + 7_200_000
    assert not failed.failing()
    assert failed.failed(0, "no", 0.0).failed(0, "no", 0.0).failing()
    assert not done.stale(definition, 1_000_000 + 3_600_000)
    assert done.stale(definition, 1_000_000 + 3_600_001)
    assert not never.stale(definition, 10**12), "a new one is not stale"
    assert RunStatus.of(failed.as_dict()) == failed
    with pytest.raises(AttributeError):
        RunStatus.of({"unknown": 1}).unknown  # type: ignore[attr-defined]  # noqa: B018
