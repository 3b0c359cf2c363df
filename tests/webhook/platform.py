"""A platform's endpoint: a real HTTP server that verifies requests and fails on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.webhook.signing import ID, key_of, verify

PATIENCE_S = 90.0


@dataclass
class Platform:
    """Takes events at ``url``. ``answer(nth request from 0)`` is a status, or seconds of silence."""

    secret: str
    answer: Callable[[int], int | float] = lambda nth: 204
    by_type: Mapping[str, int] = field(default_factory=dict)
    """Statuses for some types of events. They override ``answer``."""
    retry_after: str = "0"
    port: int = 0
    ids: list[str] = field(default_factory=list)
    """One entry for each request, in order."""
    taken: list[dict[str, Any]] = field(default_factory=list)
    """Events that were verified and answered with 2xx."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def types(self) -> list[str]:
        return [event["type"] for event in self.taken]

    def until(self, condition: Callable[[Platform], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: condition(self), PATIENCE_S), (self.ids, self.taken)

    async def _take(self, request: Request) -> Response:
        import asyncio

        body = await request.body()
        headers = dict(request.headers)
        verify(headers, body, [key_of(self.secret)], int(time.time()))
        with self._news:
            answer = self.by_type.get(json.loads(body)["type"], self.answer(len(self.ids)))
            self.ids.append(headers[ID])
            if isinstance(answer, int) and 200 <= answer < 300:
                self.taken.append({"id": headers[ID], **json.loads(body)})
            self._news.notify_all()
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return PlainTextResponse("too late")
        more = {"retry-after": self.retry_after, "location": "/elsewhere"}
        return Response(b"" if answer == 204 else b"not \x1b[31mnow", status_code=answer, headers=more)

    def __enter__(self) -> Self:
        self._news = threading.Condition()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        app = Starlette(routes=[Route("/events", self._take, methods=["POST"])])
        self._server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
