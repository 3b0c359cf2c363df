"""Places that strangers take, bounded in all and for each of them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from edge.errors import NoPlace

Holder = TypeVar("Holder", bound=Hashable)


class Places(Generic[Holder]):
    """``limits`` gives for the name of each limit how many may hold a place under one key of it.

    Names go from the narrowest limit to the widest: whoever has too much gives up what is its own first.
    ``expendable`` has the last word on whether an idle one may be sent away.
    """

    def __init__(
        self, limits: Mapping[str, int], expendable: Callable[[Holder], bool] = lambda holder: True
    ) -> None:
        self._limits = limits
        self._expendable = expendable
        self._keys: dict[Holder, frozenset[tuple[str, Hashable]]] = {}
        self._held: dict[tuple[str, Hashable], int] = {}
        self._idle: dict[tuple[str, Hashable], dict[Holder, None]] = {}
        """For each key those that may be sent away; the one that is idle longest comes first."""

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """Changes the limits, under the same names. Nobody loses a place by that."""
        self._limits = limits

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, holder: Holder, keys: Mapping[str, Hashable | None]) -> list[Holder]:
        """Takes a place for somebody who is not idle. Returns those who lose theirs to it.

        ``keys`` gives its key under each limit; None is not bounded. Raises NoPlace; nothing changes then.
        """
        wanted = [(name, keys[name]) for name in self._limits if keys.get(name) is not None]
        gone: list[Holder] = []
        for key in wanted:
            most = self._limits[key[0]]
            if self._held.get(key, 0) - sum(key in self._keys[holder] for holder in gone) < most:
                continue
            oldest = self._oldest(key, gone)
            if oldest is None:
                raise NoPlace(key[0], most)
            gone.append(oldest)
        for loser in gone:
            self.give_back(loser)
        self._keys[holder] = frozenset(wanted)
        for key in wanted:
            self._held[key] = self._held.get(key, 0) + 1
        return gone

    def _oldest(self, key: tuple[str, Hashable], gone: list[Holder]) -> Holder | None:
        for idle in self._idle.get(key, ()):
            if idle not in gone and self._expendable(idle):
                return idle
        return None

    def held(self, name: str, key: Hashable) -> int:
        """How many hold a place under a key of a limit."""
        return self._held.get((name, key), 0)

    def idle(self, holder: Holder) -> None:
        """From now on it may lose its place to others. Nothing changes for one that is idle already."""
        for key in self._keys.get(holder, ()):
            self._idle.setdefault(key, {})[holder] = None

    def busy(self, holder: Holder) -> None:
        """It keeps its place until it gives it back."""
        for key in self._keys.get(holder, ()):
            idle = self._idle.get(key, {})
            idle.pop(holder, None)
            if not idle:
                self._idle.pop(key, None)

    def give_back(self, holder: Holder, *, keep: str | None = None) -> None:
        """Gives back what it holds, under all limits but ``keep``. Nothing changes if it holds nothing."""
        self.busy(holder)
        keys = self._keys.pop(holder, frozenset())
        kept = frozenset(key for key in keys if key[0] == keep)
        for key in keys - kept:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
        if kept:
            self._keys[holder] = kept


def network_of(address: str) -> str | None:
    """The network that one stranger usually has whole: the /24 of IPv4, the /64 of IPv6.

    None for this machine itself, behind whose proxies everybody may stand, and for what is no IP address.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return None
    prefix = 24 if ip.version == 4 else 64
    return str(ipaddress.ip_network((ip, prefix), strict=False))
