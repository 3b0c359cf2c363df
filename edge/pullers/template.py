"""Entry of the template of the pullers: ``python -m edge.pullers.template CONTROL_FD SUPERVISOR_PID``.

It has libav loaded and forks one puller for each pull. A fork takes milliseconds and 7 MB, where a new
process takes a tenth of a second of a core and 17 MB. The template itself has one thread and touches no
media.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import socket
import sys

import av

from edge.clock import SystemClock
from edge.containment import ContainmentMode, contain, die_with, lacking, load_all_of
from edge.containment.role import puller
from edge.contract.gen import worker_pb2
from edge.contract.worker import containment_to_proto
from edge.pullers.protocol import ENDED, KILL, NOT_FORKED, REQUEST
from edge.pullers.puller import Puller


class Template:
    """Forks pullers on request and reports their ends."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._numbers: dict[int, int] = {}
        """Numbers of the running pullers by process id."""
        self._child_ended, wakeup = socket.socketpair()
        self._child_ended.setblocking(False)
        wakeup.setblocking(False)
        self._wakeup = wakeup
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        """Serves until the supervisor closes the socket. Raises SystemExit in each puller, at its end."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._child_ended, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._child_ended.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self._child_ended.recv(4096)
                self._reap()
            if self._control.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        """Serves one request. Returns False at the end: the supervisor is gone, or this is a puller."""
        raw, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 1)
        if not raw:
            return False
        number, what = REQUEST.unpack(raw)
        if what == KILL:
            # A process id that is not reaped is not used again.
            for pid in [pid for pid, other in self._numbers.items() if other == number]:
                os.kill(pid, signal.SIGKILL)
            return True
        with socket.socket(fileno=descriptors[0]) as connection:
            template = os.getpid()
            try:
                pid = os.fork()
            except OSError:
                self._report(number, NOT_FORKED)
                return True
            if pid == 0:
                self._become_puller(connection, template)
                return False
        self._numbers[pid] = number
        return True

    def _become_puller(self, connection: socket.socket, template: int) -> None:
        die_with(template)
        signal.set_wakeup_fd(-1)
        for end in (self._control, self._child_ended, self._wakeup):
            end.close()
        with contextlib.suppress(EOFError):
            Puller(connection, SystemClock(), _contained).run()

    def _reap(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._report(self._numbers.pop(pid), os.waitstatus_to_exitcode(status))

    def _report(self, number: int, code: int) -> None:
        with contextlib.suppress(OSError):
            self._control.send(ENDED.pack(number, code))


def _contained(request: worker_pb2.OpenPull, url: str) -> worker_pb2.Contained:
    """Contains this puller, which opens ``url`` next. Raises NotContained."""
    return containment_to_proto(contain(puller(url), ContainmentMode(request.containment)))


def main(argv: list[str]) -> int:
    control = socket.socket(fileno=int(argv[0]))
    die_with(int(argv[1]))
    # As in a worker: the supervisor decides when it ends, and a core file holds people's media.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0 if hard == 0 else 1, hard))
    # Pullers are contained: they load no library, import no module and start no program.
    load_all_of(av)
    lacking()
    with contextlib.suppress(OSError):
        socket.getaddrinfo("localhost", 1)
    template = Template(control)
    # Pullers share these objects: a collection that visited them would copy their pages.
    gc.collect()
    gc.freeze()
    template.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
