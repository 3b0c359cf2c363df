"""Where a host is, without a thread that anybody else needs.

The event loop looks names up in threads that the whole gate shares. A name server that does not answer
holds such a thread for as long as the system's resolver is patient, however soon the caller has given up:
after a few of them the cut of a stream waits for a thread. Here one look-up at a time hangs in a thread of
its own, all who want the host wait for the same one, and the end of the process waits for none.
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
"""Connections that are open are used again while the host's addresses are the same."""


@dataclass(frozen=True, slots=True)
class _Found:
    addresses: tuple[str, ...]
    problem: str
    at_s: float


class Host:
    """One host and its addresses. Lives in one event loop."""

    def __init__(self, name: str, port: int) -> None:
        """``name``: of the host, ASCII, or an address of IPv4 or IPv6 without brackets."""
        self._name = name
        self._port = port
        self._looking: asyncio.Future[_Found] | None = None

    async def addresses(self) -> tuple[str, ...]:
        """At least one, the system's preference first, up to 5 s old. Raises OSError where there is none.

        May take as long as the system's resolver does; whoever stops waiting leaves nothing behind.
        """
        if _is_address(self._name):
            return (self._name,)
        if self._looking is None or _is_over(self._looking):
            self._looking = self._begin()
        found = await asyncio.shield(self._looking)
        if not found.addresses:
            raise OSError(f"{self._name}: {found.problem}")
        return found.addresses

    def _begin(self) -> asyncio.Future[_Found]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Found] = loop.create_future()

        def look() -> None:
            found = self._look_up()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(future.set_result, found)

        try:
            threading.Thread(target=look, name="webhook-name", daemon=True).start()
        except RuntimeError as error:
            raise OSError(f"{self._name}: cannot be looked up: {error}") from None
        return future

    def _look_up(self) -> _Found:
        addresses: tuple[str, ...] = ()
        problem = "has no address"
        try:
            answers = socket.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(str(each[4][0]) for each in answers))
        except OSError as error:
            problem = error.strerror or str(error)
        except UnicodeError:
            problem = "is no name of a host"
        return _Found(addresses, problem, time.monotonic())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_over(looking: asyncio.Future[_Found]) -> bool:
    if not looking.done():
        return False
    found = looking.result()
    return not found.addresses or time.monotonic() - found.at_s >= _KEPT_S
