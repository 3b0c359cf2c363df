"""Whom the gRPC port is shut to for a while. Pure: the time is an argument.

A stranger is an address from which no valid call has come. Beyond this machine a valid call shows a token or
a certificate. Who has made one is never shut out, and neither is this machine.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Final

from cachetools import FIFOCache

from edge.allowance import MAX_KEYS, Allowance
from edge.api.door import MOST
from edge.places import network_of

SHUT_MS: Final = 60_000.0


@functools.lru_cache(MAX_KEYS)
def door_key(address: str) -> str | None:
    """What a door is shut to: an address of IPv4, or the /64 of one of IPv6. None for this machine."""
    network = network_of(address)
    if network is None:
        return None
    if ":" in network:
        return network.partition("/")[0]
    ip = ipaddress.ip_address(address)
    return str(ip.ipv4_mapped) if isinstance(ip, ipaddress.IPv6Address) else address


class Strangers:
    """Which addresses have made valid calls, and which others are shut out."""

    def __init__(self) -> None:
        self._known: FIFOCache[str, None] = FIFOCache(MAX_KEYS)
        self._shut_until_ms: dict[str, float] = {}
        self._arrivals = Allowance(1, 32)

    def served(self, address: str) -> None:
        """A valid call came from there."""
        key = door_key(address)
        if key is not None and key not in self._known:
            self._known[key] = None
            self._shut_until_ms.pop(key, None)

    def in_vain(self, address: str, now_ms: float) -> None:
        """A connection from there is ended, because too many of its calls were in vain."""
        self._shut_out(door_key(address), now_ms)

    def arrived(self, address: str, now_ms: float) -> None:
        """A connection from there was not there a moment ago. Who comes again and again is shut out."""
        key = door_key(address)
        if key is None or key in self._known:
            return
        self._arrivals.charge(key, now_ms)
        if self._arrivals.debt_ms(key, now_ms) > 0:
            self._shut_out(key, now_ms)

    def _shut_out(self, key: str | None, now_ms: float) -> None:
        if key is None or key in self._known:
            return
        self._shut_until_ms.pop(key, None)  # the one that was shut out last goes last
        self._shut_until_ms[key] = now_ms + SHUT_MS
        if len(self._shut_until_ms) > MOST:
            del self._shut_until_ms[next(iter(self._shut_until_ms))]

    def shut_out(self, now_ms: float) -> frozenset[str]:
        """To whom the door is shut now."""
        for key in [key for key, until_ms in self._shut_until_ms.items() if until_ms <= now_ms]:
            del self._shut_until_ms[key]
        return frozenset(self._shut_until_ms)
