"""Resolves a host name in a thread of its own.

The event loop resolves names in threads that the whole gate shares. A dead name server holds such a thread
as long as the system's resolver waits, even if the caller gave up. After a few of them a cut would wait for
a thread. So each host has its own thread with one look-up at a time. All callers wait for the same look-up,
and the end of the process waits for none.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from dataclasses import dataclass

_KEPT_S = 5.0
"""Lifetime of a result. Open connections are reused while the host keeps its addresses."""


@dataclass(frozen=True, slots=True)
class _Resolution:
    addresses: tuple[str, ...]
    problem: str
    at_s: float


class Host:
    """One host and its addresses. It belongs to one event loop."""

    def __init__(self, name: str, port: int) -> None:
        """``name`` is the host name in ASCII, or an IPv4 or IPv6 address without brackets."""
        self._name = name
        self._port = port
        self._looking: asyncio.Future[_Resolution] | None = None

    async def addresses(self) -> tuple[str, ...]:
        """At least one address in the system's order, up to 5 s old. Raises OSError if there is none.

        May take as long as the system's resolver does. A caller may stop waiting without side effects.
        """
        if _is_address(self._name):
            return (self._name,)
        if self._looking is None or _is_over(self._looking):
            self._looking = self._begin()
        found = await asyncio.shield(self._looking)
        if not found.addresses:
            raise OSError(f"{self._name}: {found.problem}")
        return found.addresses

    def _begin(self) -> asyncio.Future[_Resolution]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Resolution] = loop.create_future()

        def look() -> None:
            found = self._look_up()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(future.set_result, found)

        try:
            threading.Thread(target=look, name="webhook-name", daemon=True).start()
        except RuntimeError as error:
            raise OSError(f"{self._name}: cannot be looked up: {error}") from None
        return future

    def _look_up(self) -> _Resolution:
        addresses: tuple[str, ...] = ()
        problem = "has no address"
        try:
            answers = socket.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(str(each[4][0]) for each in answers))
        except OSError as error:
            problem = error.strerror or str(error)
        except UnicodeError:
            problem = "is no name of a host"
        return _Resolution(addresses, problem, time.monotonic())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_over(looking: asyncio.Future[_Resolution]) -> bool:
    if not looking.done():
        return False
    found = looking.result()
    return not found.addresses or time.monotonic() - found.at_s >= _KEPT_S
