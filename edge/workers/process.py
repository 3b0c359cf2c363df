"""Entry of a worker process: ``python -m edge.workers.process SOCKET_FD PAGE_FD SETTINGS_JSON``."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import threading

from edge.clock import SystemClock
from edge.contract.gen import worker_pb2
from edge.detect import Detector
from edge.match import Matcher
from edge.telemetry.logs import configure_logging
from edge.workers import ipc_framing
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.loop import WorkerLoop
from edge.workers.settings import WorkerSettings


def main(argv: list[str]) -> int:
    connection = socket.socket(fileno=int(argv[0]))
    connection.setblocking(True)
    page = int(argv[1])
    current = CurrentStreamPage(page)
    CurrentStreamPage.report_crashes(page)
    # The fault handler says where it crashed. A core file takes time while its streams wait, and has people's
    # media in it. 1, as 0 does not keep one from a program that it is piped to.
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0 if hard == 0 else 1, hard))
    settings = WorkerSettings.model_validate_json(argv[2])
    configure_logging(settings.log_level)
    # The supervisor decides when a worker ends; a Ctrl-C in the terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    sending = threading.Lock()

    def send(event: worker_pb2.FromWorker) -> None:
        with sending, contextlib.suppress(OSError):  # a supervisor that is gone is seen by the reader
            connection.sendall(ipc_framing.frame(event))

    loop = WorkerLoop(
        settings,
        Detector.load(settings.model_dir),
        Matcher.open(settings.bank_dir, strict=False),
        send,
        current,
        SystemClock(),
        connection,
    )
    # What is there now stays: no collection has to look through it again, which takes longer than a job.
    gc.collect()
    gc.freeze()
    loop.run()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Threads that pull cannot be ended while they are inside libav, which now and then calls into Python: in
    # an interpreter that is half taken down, that crashes. So the last log lines are written, and no more.
    atexit._run_exitfuncs()
    os._exit(code)
