"""The HTTP server of the hooks: uvicorn's, with a bound on each wait and on the connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.descriptors import BACKLOG, has_unread
from edge.errors import NoPlace
from edge.places import Places, network_of

_KEEP_ALIVE_S: Final = 2
_MAX_HEAD_BYTES: Final = 16 * 1024
_NOT_WHOLE: Final = (h11.IDLE, h11.SEND_BODY)

_quiet = logging.getLogger("uvicorn.error.hooks")
"""Drops uvicorn's lines about malformed requests. They are counted instead."""
_quiet.setLevel(logging.ERROR)


class HookServer(uvicorn.Server):
    """The hooks' HTTP server. The sidecar handles the process's signals.

    A request must be complete, and its answer read, within ``request_ms``. If all ``max_connections`` are
    taken, or all ``max_per_address`` of one network, the connection that has waited longest for its request
    is ended. ``broken`` gets the cause of each connection that is ended.
    """

    def __init__(
        self,
        app: Starlette,
        *,
        request_ms: int,
        max_connections: int,
        max_per_address: int,
        broken: Callable[[str], None],
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """``trusted_proxies``: addresses and networks whose ``X-Forwarded-For`` names a request's client."""
        self.request_s = request_ms / 1000
        self.broken = broken
        self.places: Places[_HookConnection] = Places(
            {"http_per_address": max_per_address, "http_connections": max_connections},
            _HookConnection.is_expendable,
        )
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(_HookConnection, self),  # type: ignore[arg-type]  # it is called as a type is
                lifespan="off",
                forwarded_allow_ips=list(trusted_proxies),
                backlog=BACKLOG,
                log_config=None,
                access_log=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _HookConnection(H11Protocol):
    """One connection. Its deadline runs while the server waits for the peer."""

    def __init__(self, server: HookServer, **given: Any) -> None:
        super().__init__(**given)
        self.logger = _quiet
        self._hooks = server
        self._deadline: asyncio.TimerHandle | None = None
        self._was_read = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        network = network_of(self.client[0]) if self.client else None
        try:
            losers = self._hooks.places.take(self, {"http_per_address": network, "http_connections": ""})
        except NoPlace as error:
            self.end(error.limit)
            return
        for loser in losers:
            loser.end("idle")
        self._look()

    def is_expendable(self) -> bool:
        """Whether it may lose its place to another. One that was accepted in this turn may have a request."""
        return self._was_read or not has_unread(self.transport)

    def data_received(self, data: bytes) -> None:
        self._was_read = True
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        self._hooks.broken("malformed")
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_deadline()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        self._hooks.places.give_back(self)
        super().connection_lost(exc)

    def end(self, cause: str) -> None:
        """Closes the connection at once and reports the cause."""
        self._hooks.broken(cause)
        self.transport.abort()

    def _look(self) -> None:
        """Bounds the wait for the rest of a request or for the next one."""
        if self.conn.their_state in _NOT_WHOLE:
            self._hooks.places.idle(self)
            self._start_deadline()
        else:
            self._hooks.places.busy(self)
            self._stop_deadline()

    def _start_deadline(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self._hooks.request_s, self.end, "slow")

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
