"""How a worker process starts and ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

from edge.contract.gen import worker_pb2
from edge.policy import Policy
from edge.workers import ipc_framing
from edge.workers.worker_handle import WorkerHandle
from tests.workers.worker_settings import worker_settings

WORKERS = 2
PULLS = 100
WAIT_S = 60.0


def pull(number: int, port: int) -> bytes:
    command = worker_pb2.OpenPull(
        stream_id=f"st_{number}",
        url=f"rtmp://127.0.0.1:{port}/live/{number}",
        policy_json=Policy().model_dump_json(),
    )
    return ipc_framing.frame(worker_pb2.ToWorker(open_pull=command))


def test_a_worker_starts_without_what_only_its_supervisor_needs() -> None:
    """Whoever waits for a worker waits for all of its imports, and each worker holds them in memory."""
    program = "import json, sys, edge.workers.process; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", program], text=True))
    rooms = {name.split(".")[1] for name in loaded if name.startswith("edge.")}
    assert not rooms & {"api", "cli", "config", "ledger", "servers", "supervise", "webhook"}
    assert not {name.split(".")[0] for name in loaded} & {"sqlalchemy", "alembic", "grpc", "uvicorn"}


async def test_threads_that_read_inside_libav_do_not_crash_a_worker_that_ends(tmp_path: Path) -> None:
    """libav regularly asks Python whether to go on. At exit Python must not be torn down by then.

    Several workers with many threads run, because the critical milliseconds are hit by chance.
    """
    connected = asyncio.Semaphore(0)

    async def shake_hands_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.release()
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"\3")
                await writer.drain()
                await asyncio.sleep(0.2)
        writer.close()

    server = await asyncio.start_server(shake_hands_slowly, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = worker_settings(tmp_path, pull_ms=30_000)
    workers = [await WorkerHandle.launch(settings) for _ in range(WORKERS)]
    try:
        async with asyncio.timeout(WAIT_S):
            for worker in workers:
                for number in range(PULLS):
                    worker.write_frame(pull(number, port))
            for _ in range(WORKERS * PULLS):
                await connected.acquire()
            for worker in workers:
                worker.write_frame(ipc_framing.frame(worker_pb2.ToWorker(shutdown=worker_pb2.Shutdown())))
            codes = [await worker.process.wait() for worker in workers]
        assert codes == [0] * WORKERS
        assert not any(worker.current.report for worker in workers)
    finally:
        for worker in workers:
            await worker.end(0.0)
        server.close()
