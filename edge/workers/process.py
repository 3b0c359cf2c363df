"""A worker process from its start to its end."""

from __future__ import annotations

import contextlib
import gc
import resource
import signal
import socket
import sys
import threading
import traceback

import av

from edge.clock import SystemClock
from edge.containment import Containment, contain, load_all_of
from edge.containment.role import worker
from edge.contract.gen import worker_pb2
from edge.contract.worker import containment_to_proto
from edge.detect.loaded_pack import LoadedPack
from edge.errors import ModelError, NotContained
from edge.match import available
from edge.printable import printable
from edge.stream import resampler
from edge.telemetry.logs import configure_logging
from edge.workers import ipc_framing
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.guarded_matcher import GuardedMatcher
from edge.workers.loop import WorkerLoop
from edge.workers.memory import resident_bytes
from edge.workers.settings import WorkerSettings


def main(argv: list[str]) -> int:
    connection = socket.socket(fileno=int(argv[0]))
    connection.setblocking(True)
    page = int(argv[1])
    current = CurrentStreamPage(page)
    CurrentStreamPage.report_crashes(page)
    # The fault handler says where a worker crashed. A core file takes time while its streams wait, and
    # holds people's media. The limit is 1, because 0 does not stop a core pattern that pipes to a program.
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0 if hard == 0 else 1, hard))
    settings = WorkerSettings.model_validate_json(argv[2])
    # The supervisor decides when a worker ends; a Ctrl-C in the terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    sending = threading.Lock()

    def send(event: worker_pb2.FromWorker) -> None:
        with sending, contextlib.suppress(OSError):  # the inbox notices that the supervisor is gone
            connection.sendall(ipc_framing.frame(event))

    try:
        pack = LoadedPack.load(settings.model_dir)
    except ModelError as error:
        refusal = worker_pb2.ModelLoaded(error=str(error), use=True)
        send(worker_pb2.FromWorker(model_loaded=refusal))
        return 1
    try:
        contained = _contained(settings)
    except NotContained as error:
        print(printable(error), file=sys.stderr)
        return 1
    configure_logging(settings.log_level)  # starts a thread, so it comes after
    send(worker_pb2.FromWorker(contained=containment_to_proto(contained)))
    loop = WorkerLoop(
        settings,
        pack.detector,
        GuardedMatcher.of_worker(settings.bank_dir, current),
        send,
        current,
        SystemClock(),
        connection,
        pack.audio,
        pack.sight,
    )
    # Objects that exist now stay. A collection that visits them again takes longer than a job.
    gc.freeze()
    gc.enable()
    loop.run()
    return 0


def _contained(settings: WorkerSettings) -> Containment:
    """Contains this process. What is loaded or opened lazily is loaded before. Raises NotContained."""
    load_all_of(av)
    available()
    resampler()
    resident_bytes()
    traceback.format_exception(ValueError())
    models = [settings.model_dir] + ([] if settings.model_store is None else [settings.model_store])
    incoming = [] if settings.evidence_incoming is None else [settings.evidence_incoming]
    role = worker(models, [settings.bank_dir], incoming, settings.max_resident_mb)
    return contain(role, settings.containment)
