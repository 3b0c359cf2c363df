"""File descriptors: no kind of connection takes all of them, and a lack of them is said once a second."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import select
import socket
from collections.abc import Callable
from typing import Any, Final

BACKLOG: Final = 128
"""Connections that wait to be accepted. After a failure asyncio tries as many again at once."""

SILENT_S: Final = 5
"""How long the kernel keeps a connection that sends nothing. It rounds up to 1, 3, 7, 15 … seconds."""


def most_connections(wanted: int, share: float) -> int:
    """``wanted``, but at most this share of the file descriptors that the process may have open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if limit == resource.RLIM_INFINITY else max(1, min(wanted, int(limit * share)))


def accept_only_who_sends(listener: socket.socket) -> None:
    """Leaves a new connection in the kernel until its peer sends something, for ``SILENT_S`` at most.

    Who only opens connections then costs this process nothing. For listeners of protocols in which the client
    speaks first. Does nothing where the kernel has no such option.
    """
    with contextlib.suppress(OSError, AttributeError):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_S)


def report_lack(loop: asyncio.AbstractEventLoop, lacking: Callable[[], None]) -> None:
    """Calls ``lacking`` where the event loop would write a traceback for each connection that it cannot
    accept. It tries again a second later. All other errors of the event loop are written as before.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            lacking()
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


def has_unread(transport: asyncio.Transport) -> bool:
    """Whether bytes of the peer wait in the kernel.

    asyncio accepts up to ``BACKLOG`` connections in one turn and reads none of them before the next one. Who
    has just been accepted may have sent its whole request, and only seems to wait.
    """
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))
