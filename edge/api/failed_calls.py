"""Makes callers wait whose calls fail, so that refusing them costs the gate little.

A call that fails takes the gate about half a millisecond of processor time, and its caller may make the next
one at once. So beyond an allowance the answer waits. Only what fails waits: valid calls of the same
connection or network are answered as before, and each gives its connection a failed one back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from edge.allowance import MAX_KEYS, Allowance
from edge.api.connections import Peer, peer_of
from edge.clock import Clock
from edge.places import network_of

MOST_WAIT_MS: Final = 5_000.0
"""Of a call that fails. A connection that owes more, and watches no stream, is ended."""
MOST_URGENT_WAIT_MS: Final = 500.0
"""Of a call whose caller waits two seconds at most: it may then take the gate to be down, and let a publisher
in."""


@dataclass(slots=True)
class FailedCalls:
    """Who owes how much. Pure: the time is an argument."""

    _of_connection: Allowance = field(default_factory=lambda: Allowance(5, 32))
    _of_network: Allowance = field(default_factory=lambda: Allowance(50, 256))
    _crowding: Allowance = field(default_factory=lambda: Allowance(5, 32))
    """Admits that took a place from a stream which nobody watched yet, or found none."""
    ended: set[Peer] = field(default_factory=set)
    """Connections that owe too much. They are removed once they are gone."""

    def failed(self, peer: str, now_ms: float, *, urgent: bool) -> float:
        """Charges a failed call. Returns how many milliseconds its answer has to wait.

        ``peer``: as gRPC names it. Nobody waits on a local socket, whose connections are not told apart.
        ``urgent``: its caller may let a publisher in or on without an answer. It waits shortly, and its
        connection is not ended.
        """
        key = peer_of(peer)
        if not key[1]:
            return 0.0
        self._of_connection.charge(key, now_ms)
        owed_ms = self._of_connection.debt_ms(key, now_ms)
        if owed_ms > MOST_WAIT_MS and not urgent and len(self.ended) < MAX_KEYS:
            self.ended.add(key)
        if (network := network_of(key[0])) is not None:
            self._of_network.charge(network, now_ms)
            owed_ms = max(owed_ms, self._of_network.debt_ms(network, now_ms))
        return min(owed_ms, MOST_URGENT_WAIT_MS if urgent else MOST_WAIT_MS)

    def succeeded(self, peer: str) -> None:
        """A call was valid."""
        self._of_connection.give_back(peer_of(peer))

    def crowded(self, peer: str, now_ms: float) -> None:
        """Charges an Admit for which there was no free place."""
        if (key := peer_of(peer))[1]:
            self._crowding.charge(key, now_ms)

    def used(self, peer: str) -> None:
        """An admitted stream is watched, or was given back."""
        self._crowding.give_back(peer_of(peer))
        self.succeeded(peer)

    def admit_wait_ms(self, peer: str, now_ms: float) -> float:
        """How long an Admit has to wait before it is looked at."""
        return min(self._crowding.debt_ms(peer_of(peer), now_ms), MOST_URGENT_WAIT_MS)


class Turnstile:
    """Lets calls wait for as long as their connection owes."""

    def __init__(self, calls: FailedCalls, clock: Clock) -> None:
        self.calls = calls
        self._clock = clock

    async def hold_failed(self, peer: str, *, urgent: bool) -> None:
        """Waits before the answer to a call that failed by its caller's own doing."""
        await _wait(self.calls.failed(peer, self._clock.monotonic_ms(), urgent=urgent))

    async def hold_admit(self, peer: str) -> None:
        """Waits before an Admit is looked at."""
        await _wait(self.calls.admit_wait_ms(peer, self._clock.monotonic_ms()))

    def crowded(self, peer: str) -> None:
        self.calls.crowded(peer, self._clock.monotonic_ms())


async def _wait(wait_ms: float) -> None:
    if wait_ms > 0:
        await asyncio.sleep(wait_ms / 1000)
