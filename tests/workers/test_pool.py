"""The pool keeps its places filled, whatever its owner does with its reports."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from edge.background import task_health
from edge.clock import SystemClock
from edge.contract.gen import worker_pb2
from edge.telemetry.records import Record
from edge.workers.pool import WorkerPool
from edge.workers.settings import WorkersSection
from tests.workers.worker_settings import worker_settings

WAIT_S = 120.0


class BrokenOwner:
    """Raises at every report."""

    def on_worker_event(self, event: worker_pb2.FromWorker) -> None:
        raise ValueError("not expected")

    def on_streams_lost(self, stream_ids: tuple[str, ...], quarantined: str | None) -> None:
        raise ValueError("not expected")

    def on_matching_failed(self) -> None:
        raise ValueError("not expected")

    def on_record(self, record: Record) -> None:
        """Nobody asks for these."""

    def on_not_restarted(self) -> None:
        raise ValueError("not expected")


async def test_a_worker_lives_and_is_replaced_although_its_owner_fails(tmp_path: Path) -> None:
    pool = WorkerPool(WorkersSection(count=1, spare=0), worker_settings(tmp_path), SystemClock())
    try:
        async with asyncio.timeout(WAIT_S):
            await pool.start(BrokenOwner())
            assert pool.places == (1, 1)
            [first] = pool.processes()
            pool.assign("st")
            while not task_health().failures["BrokenOwner.on_worker_event"]:
                assert pool.processes() == (first,), "what a worker says does not end it"
                await asyncio.sleep(0.01)
            os.kill(first, signal.SIGKILL)
            while pool.places != (0, 1):  # noqa: ASYNC110 (the pool has no event for it)
                await asyncio.sleep(0.01)
            while pool.places != (1, 1):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while not task_health().failures["BrokenOwner.on_streams_lost"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await pool.stop()
