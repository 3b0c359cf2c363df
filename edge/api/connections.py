"""Keeps strangers from taking all connections of the gRPC server.

gRPC bounds connections in all, and tells nobody where they come from. So the sockets of this process are
looked at, and those that are too many are shut down: gRPC then sees that the peer has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from edge.errors import NoPlace
from edge.places import Places, network_of

PER_ADDRESS: Final = "grpc_per_address"
ALL: Final = "grpc_connections"
FAILING: Final = "failing"
SHUT_OUT: Final = "shut_out"
_LOOK_S: Final = 1.0
_HURRY_S: Final = 0.1
"""The pause while a good part of all places is taken."""
_FEW: Final = 1000
"""Sockets that are looked at in a few milliseconds."""
_DESCRIPTORS: Final = Path("/proc/self/fd")

Peer = tuple[str, int]
"""Address and port."""


class BusyPeers:
    """The connections that have a call of the Gate service, so that they are not idle."""

    def __init__(self) -> None:
        self._calls = Counter[Peer]()

    @contextlib.contextmanager
    def calling(self, peer: str) -> Iterator[None]:
        """A call is in progress. ``peer``: as gRPC names it."""
        key = peer_of(peer)
        self._calls[key] += 1
        try:
            yield
        finally:
            self._calls[key] -= 1
            if not self._calls[key]:
                del self._calls[key]

    def __contains__(self, peer: Peer) -> bool:
        return peer in self._calls


def peer_of(name: str) -> Peer:
    """The address and port in gRPC's name of a peer, such as ``ipv6:%5B::1%5D:50051``."""
    address, _, port = unquote(name).partition(":")[2].rpartition(":")
    return address.strip("[]"), int(port) if port.isdigit() else 0


@dataclass(slots=True)
class ConnectionBound:
    """Which connections have to go. Pure: what is connected is an argument."""

    places: Places[Peer]
    busy: BusyPeers
    ended: set[Peer] = field(default_factory=set)
    """Those whose calls fail too often. One that has a call keeps its connection."""
    _held: set[Peer] = field(default_factory=set)

    @classmethod
    def of(
        cls, most: int, most_per_address: int, busy: BusyPeers, ended: set[Peer] | None = None
    ) -> ConnectionBound:
        places: Places[Peer] = Places({PER_ADDRESS: most_per_address, ALL: most})
        return cls(places, busy, set() if ended is None else ended)

    def surplus(self, connected: Mapping[Peer, int]) -> dict[Peer, str]:
        """Those without a place, with the limit. An idle one goes before one that has a call."""
        gone: dict[Peer, str] = {}
        for peer in self._held - connected.keys():
            self.places.give_back(peer)
        self._held &= connected.keys()
        for peer in self._held:
            self._note(peer)
        for peer in connected.keys() - self._held:
            try:
                losers = self.places.take(peer, {PER_ADDRESS: network_of(peer[0]), ALL: ""})
            except NoPlace as error:
                gone[peer] = error.limit
                continue
            self._held.add(peer)
            self._note(peer)
            for loser in losers:
                self._held.discard(loser)
                gone[loser] = "idle"
        for peer in self.ended & connected.keys():
            if peer not in self.busy:
                gone.setdefault(peer, FAILING)
        self.ended.clear()
        return gone

    def idle(self, peers: Iterable[Peer]) -> Iterator[Peer]:
        """Yields those that have no call of the Gate service."""
        return (peer for peer in peers if peer not in self.busy)

    def _note(self, peer: Peer) -> None:
        if peer in self.busy:
            self.places.busy(peer)
        else:
            self.places.idle(peer)


class Door(Protocol):
    """Who may connect at all."""

    many_come: bool
    """Whether to look often."""

    def look(self, connected: Collection[Peer]) -> Iterable[Peer]:
        """Returns those who may not be here."""
        ...


class GrpcConnections:
    """The connections to one port of this process. ``ended(cause)`` is called for each that goes.

    ``hurry`` is set where one has to go soon.
    """

    def __init__(
        self,
        bound: ConnectionBound,
        port: int,
        most: int,
        ended: Callable[[str], None],
        hurry: asyncio.Event | None = None,
        door: Door | None = None,
    ) -> None:
        self._door = door
        self._hurry = hurry or asyncio.Event()
        self._bound = bound
        self._port = port
        self._most = most
        self._ended = ended
        self._known: dict[tuple[int, int], Peer | None] = {}
        """By descriptor and inode: the peer, or None for what is no connection to the port."""

    async def run(self) -> None:
        """Looks once a second, and more often while places get scarce or one has to go. Cancel it to end
        it."""
        while True:
            # Calls of one that has to go come on until it is gone, and a thread waits its turn for long.
            at_once = self._hurry.is_set() and len(self._known) <= _FEW
            self._hurry.clear()
            connected = self._connected() if at_once else await asyncio.to_thread(self._connected)
            gone = self._bound.surplus(connected)
            if self._door is not None:
                gone = dict.fromkeys(self._bound.idle(self._door.look(connected)), SHUT_OUT) | gone
            for peer, cause in gone.items():
                if self._shut_down(connected[peer], peer):
                    self._ended(cause)
            await asyncio.sleep(_HURRY_S)
            if len(connected) <= self._most // 2 and not (self._door and self._door.many_come):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S - _HURRY_S):
                        await self._hurry.wait()

    def _connected(self) -> dict[Peer, int]:
        """The peers of all connections to the port, with their descriptors."""
        known, self._known = self._known, {}
        connected: dict[Peer, int] = {}
        for descriptor in _descriptors():
            try:
                status = os.fstat(descriptor)
            except OSError:
                continue  # closed meanwhile
            if not stat.S_ISSOCK(status.st_mode):
                continue
            key = descriptor, status.st_ino
            peer = known[key] if key in known else self._peer(descriptor)
            self._known[key] = peer
            if peer is not None:
                connected[peer] = descriptor
        return connected

    def _peer(self, descriptor: int) -> Peer | None:
        with contextlib.suppress(OSError), _borrowed(descriptor) as connection:
            tcp = connection.family in (socket.AF_INET, socket.AF_INET6)
            if tcp and connection.getsockname()[1] == self._port:
                address, port = connection.getpeername()[:2]
                return address.removeprefix("::ffff:"), port
        return None

    def _shut_down(self, descriptor: int, peer: Peer) -> bool:
        """Another connection may have the descriptor by now."""
        if self._peer(descriptor) != peer:
            return False
        with contextlib.suppress(OSError), _borrowed(descriptor) as connection:
            connection.shutdown(socket.SHUT_RDWR)
            return True
        return False


def listeners(port: int) -> Iterator[socket.socket]:
    """Yields this process's sockets that listen on a port. They belong to gRPC."""
    for descriptor in _descriptors():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with _borrowed(descriptor) as found:
                    if found.family in (socket.AF_INET, socket.AF_INET6) and (
                        found.getsockname()[1] == port
                        and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    ):
                        yield found


def _descriptors() -> Iterable[int]:
    """Those of this process. Where all are taken, none is left to list them with: then all that may be."""
    try:
        return map(int, os.listdir(_DESCRIPTORS))
    except OSError:
        return range(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """The socket of a descriptor that gRPC closes. Takes no descriptor of its own."""
    connection = socket.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()
