"""A model swap while workers come and go, in real processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path

from edge.clock import SystemClock
from edge.contract.gen import worker_pb2
from edge.detect import read_pack
from edge.policy import Policy
from edge.stream.synthetic import encode
from edge.telemetry.records import Record
from edge.workers.pool import WorkerPool
from edge.workers.settings import WorkersSection
from tests.shipped_pack import copy_pack
from tests.workers.worker_settings import worker_settings

WAIT_S = 120.0
LAP_MS = 10_000
"""Length of what is shown again and again."""


class RecordedEvents:
    """The events of the pool."""

    def __init__(self) -> None:
        self.digests: set[str] = set()
        self.lost = asyncio.Event()

    def on_worker_event(self, event: worker_pb2.FromWorker) -> None:
        if event.HasField("judged"):
            self.digests.add(event.judged.verdict.model_digest)

    def on_matching_failed(self) -> None:
        raise AssertionError("no worker crashed in the banks")

    def on_record(self, record: Record) -> None:
        """Nobody asks for these."""

    def on_not_restarted(self) -> None:
        raise AssertionError("no worker stays away")

    def on_streams_lost(self, stream_ids: tuple[str, ...], quarantined: str | None) -> None:
        self.lost.set()


def other_model(place: Path) -> Path:
    """The shipped pack under another version, and so with another digest."""
    return copy_pack(place, version="other")


async def test_a_worker_that_becomes_ready_during_a_swap_judges_with_the_new_model(tmp_path: Path) -> None:
    """A worker that started with the old model, too late for the command to load the new one."""
    directory = other_model(tmp_path / "model")
    settings = worker_settings(tmp_path / "banks").model_copy(update={"model_store": tmp_path})
    digest = read_pack(directory).digest
    clock, heard = SystemClock(), RecordedEvents()
    pool = WorkerPool(WorkersSection(count=1, spare=0), settings, clock)
    try:
        async with asyncio.timeout(WAIT_S):
            await pool.start(heard)
            loading = asyncio.ensure_future(pool.load_model(directory, digest))
            await asyncio.sleep(0)
            await pool._prepare_standby()
            await loading
            pool.use_model(directory, digest)
            [first] = pool.processes()
            os.kill(first, signal.SIGKILL)  # So that the other worker gets the stream.
            await heard.lost.wait()
            pool.assign("st")
            media = encode(frames=25 * LAP_MS // 1000, gop=10, fps=25)
            opening = worker_pb2.OpenPush(
                stream_id="st",
                codec="h264",
                extradata=media.extradata,
                policy_json=Policy(budget_ms=10_000).model_dump_json(),
            )
            pool.send("st", worker_pb2.ToWorker(open_push=opening))
            again = ((lap, unit) for lap in itertools.count() for unit in media.units)
            for lap, unit in again:
                at_ms = LAP_MS * lap + unit.pts_ms
                shown = replace(unit, pts_ms=at_ms, dts_ms=at_ms, arrival_ms=clock.monotonic_ms())
                pool.send_unit("st", shown)
                await asyncio.sleep(0.1)  # It loads the new pack meanwhile, and changes between two samples.
                if digest in heard.digests:
                    break
    finally:
        await pool.stop()
