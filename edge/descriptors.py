"""File descriptors: no kind of connection takes all of them, and a lack of them is said once a second."""

from __future__ import annotations

import asyncio
import errno
import resource
import select
from collections.abc import Callable
from typing import Any, Final

BACKLOG: Final = 128
"""Connections that wait to be accepted. After a failure asyncio tries as many again at once."""


def most_connections(wanted: int, share: float) -> int:
    """``wanted``, but at most this share of the file descriptors that the process may have open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if limit == resource.RLIM_INFINITY else max(1, min(wanted, int(limit * share)))


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
