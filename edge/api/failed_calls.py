"""Makes callers wait whose calls are in vain, so that answering them costs the gate little.

A call takes the gate a quarter to half a millisecond of processor time, also one that fails, that its caller
cancels at once, or that anybody may make. Its caller may make the next one at once. So beyond an allowance
the answer waits. Only what is in vain waits: valid calls of the same connection or network are answered as
before, and each gives its connection a failed one back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from edge.allowance import MAX_KEYS, Allowance
from edge.api.connections import Peer, peer_of
from edge.api.strangers import Strangers
from edge.clock import Clock
from edge.places import network_of

MOST_WAIT_MS: Final = 5_000.0
"""Of a call that fails. A connection that owes as much, and watches no stream, is ended."""
MOST_URGENT_WAIT_MS: Final = 500.0
"""Of a call whose caller waits two seconds at most: it may then take the gate to be down, and let a publisher
in."""
MOST_HELD: Final = 16
"""Calls of one connection that wait at a time. Each further one waits as long as there is."""


@dataclass(slots=True)
class FailedCalls:
    """Who owes how much. Pure: the time is an argument."""

    _of_connection: Allowance = field(default_factory=lambda: Allowance(5, 32, MOST_WAIT_MS))
    _of_network: Allowance = field(default_factory=lambda: Allowance(50, 256, MOST_WAIT_MS))
    _unused: Allowance = field(default_factory=lambda: Allowance(20, 128, MOST_WAIT_MS))
    """Admits that took a place from a stream which nobody watched yet, that found none, or whose stream was
    given back before anybody watched it."""
    ended: set[Peer] = field(default_factory=set)
    """Connections that owe too much. They are removed once they are gone."""
    strangers: Strangers = field(default_factory=Strangers)

    def failed(self, peer: str, now_ms: float, *, urgent: bool) -> float:
        """Charges a call in vain. Returns how many milliseconds its answer has to wait.

        ``peer``: as gRPC names it. Nobody waits on a local socket, whose connections are not told apart.
        ``urgent``: its caller may let a publisher in or on without an answer. It waits shortly, and its
        connection is not ended.
        """
        key = peer_of(peer)
        if not key[1]:
            return 0.0
        self._of_connection.charge(key, now_ms)
        owed_ms = self._of_connection.debt_ms(key, now_ms)
        if (network := network_of(key[0])) is not None:
            self._of_network.charge(network, now_ms)
            owed_ms = max(owed_ms, self._of_network.debt_ms(network, now_ms))
        if not urgent:
            self._end_if(key, owed_ms, now_ms)
        return min(owed_ms, MOST_URGENT_WAIT_MS if urgent else MOST_WAIT_MS)

    def succeeded(self, peer: str) -> None:
        """A call was valid."""
        self._of_connection.give_back(peer_of(peer))
        self.signed_in(peer)

    def signed_in(self, peer: str) -> None:
        """A call may have failed, but not for want of a token or a certificate."""
        self.strangers.served(peer_of(peer)[0])

    def unused(self, peer: str, now_ms: float) -> None:
        """Charges an Admit for which there was no free place, or whose stream is given back unwatched."""
        if (key := peer_of(peer))[1]:
            self._unused.charge(key, now_ms)
            self._end_if(key, self._unused.debt_ms(key, now_ms), now_ms)

    def used(self, peer: str) -> None:
        """An admitted stream is watched."""
        self._unused.give_back(peer_of(peer))
        self.succeeded(peer)

    def admit_wait_ms(self, peer: str, now_ms: float) -> float:
        """How long an Admit has to wait before it is looked at."""
        return min(self._unused.debt_ms(peer_of(peer), now_ms), MOST_URGENT_WAIT_MS)

    def _end_if(self, key: Peer, owed_ms: float, now_ms: float) -> None:
        # A sum of a thousand parts of a second is not exact.
        if owed_ms > MOST_WAIT_MS - 1.0 and len(self.ended) < MAX_KEYS:
            self.ended.add(key)
            self.strangers.in_vain(key[0], now_ms)


class Turnstile:
    """Lets calls wait for as long as their connection owes."""

    def __init__(self, calls: FailedCalls, clock: Clock) -> None:
        self.calls = calls
        self.ending = asyncio.Event()
        """Set while there are connections that have to end."""
        self._clock = clock
        self._held = Counter[Peer]()

    async def hold_failed(self, peer: str, *, urgent: bool) -> None:
        """Waits before the answer to a call that failed by its caller's own doing, or that anybody may
        make."""
        wait_ms = self.calls.failed(peer, self._clock.monotonic_ms(), urgent=urgent)
        self._tell()
        await self._wait(peer, wait_ms)

    def cancelled(self, peer: str) -> None:
        """A caller cancelled its call before the answer. There is nothing to wait for."""
        self.calls.failed(peer, self._clock.monotonic_ms(), urgent=False)
        self._tell()

    async def hold_admit(self, peer: str) -> None:
        """Waits before an Admit is looked at."""
        await self._wait(peer, self.calls.admit_wait_ms(peer, self._clock.monotonic_ms()))

    def unused(self, peer: str) -> None:
        self.calls.unused(peer, self._clock.monotonic_ms())
        self._tell()

    def _tell(self) -> None:
        if self.calls.ended:
            self.ending.set()

    async def _wait(self, peer: str, wait_ms: float) -> None:
        if wait_ms <= 0:
            return
        key = peer_of(peer)
        if self._held[key] >= MOST_HELD:
            wait_ms = MOST_WAIT_MS
        self._held[key] += 1
        try:
            await asyncio.sleep(wait_ms / 1000)
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
