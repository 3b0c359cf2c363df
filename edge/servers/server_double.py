"""The base of the doubles of ingest servers: a server's API over real HTTP, and the calls of its hooks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge.background import BackgroundTasks
from edge.servers.connector import Connector
from edge.servers.settings import ServerSection

SECRET = "s3cret"
"""What the double's API asks for."""


@dataclass(frozen=True, slots=True)
class HookCall:
    """One call of a hook as the server makes it."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    @classmethod
    def of_json(cls, path: str, fields: Mapping[str, Any], **headers: str) -> HookCall:
        return cls(path, json.dumps(fields).encode(), {"content-type": "application/json", **headers})


@dataclass
class ServerDouble(ABC):
    """One ingest server as it is documented, on a loopback port while it is ``serving``.

    ``trouble`` is answered first, one a call, then ``always`` if there is one. A number there is a pause in
    seconds before the server's own answer.
    """

    sessions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Connection to the app and name that it publishes."""
    trouble: list[Response | float] = field(default_factory=list)
    always: Response | float | None = None
    padding: int = 0
    """Blanks after each of its own answers, in bytes."""
    asked: list[str] = field(default_factory=list)
    """Method and path of each call of its API."""
    url: str = "http://127.0.0.1:9"

    kind: ClassVar[str]
    ids: ClassVar[tuple[str, str]]
    """Two connections as this server writes them."""
    unknown: ClassVar[str]
    """A connection that it does not have."""
    has_credentials: ClassVar[bool] = True
    """Whether its API asks who calls."""
    calls_to_find_nothing: ClassVar[int] = 1
    """Calls of the API in one attempt to cut a connection that it does not know."""
    asks_first: ClassVar[bool] = True
    """Whether it asks the hook before a publish begins; else it tells afterwards."""
    name_field: ClassVar[str]
    """The field of a hook that holds the name of the stream."""
    allows: ClassVar[Response]
    """The answer by which the platform's own hook lets a publish in at this kind of server."""
    denies: ClassVar[Response]
    """The answer by which the platform's own hook refuses a publish."""
    no_such: ClassVar[Response]
    """The API's answer to a cut of a connection that it does not know."""

    @abstractmethod
    def section(self, secret: str = SECRET) -> ServerSection:
        """Settings of a gate beside it. ``secret``: what the gate takes for that of the API."""

    @abstractmethod
    def connector(self, secret: str = SECRET, timeout_s: float = 5.0) -> Connector:
        """A connector with these settings."""

    @abstractmethod
    def answer(self, method: str, path: str, request: Request) -> Response:
        """Its API's answer to a call."""

    @abstractmethod
    def publish_call(self, connection: str, app: str, name: str, user: str) -> HookCall:
        """The hook by which it asks, or tells, that somebody publishes."""

    @abstractmethod
    def ended_call(self, connection: str, app: str, name: str, user: str) -> HookCall | None:
        """The hook by which it tells the end of a publish; None: it does not tell."""

    async def _handle(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.path}")
        trouble = self.trouble.pop(0) if self.trouble else self.always
        if isinstance(trouble, Response):
            return trouble
        if trouble is not None:
            await asyncio.sleep(trouble)
        response = self.answer(request.method, request.url.path, request)
        if self.padding:
            return Response(
                bytes(response.body) + b" " * self.padding, response.status_code, media_type="text/plain"
            )
        return response

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listens on a free port of this machine; ``url`` says where."""
        methods = ["GET", "POST", "DELETE"]
        app = Starlette(routes=[Route("/{path:path}", self._handle, methods=methods)])
        server = uvicorn.Server(
            uvicorn.Config(app, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        )
        task = BackgroundTasks().start(server.serve(), awaited=True)
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield
        finally:
            server.should_exit = True
            await task

    def by_name(self, app: str, name: str) -> str | None:
        """The connection that publishes the stream."""
        return next((c for c, published in self.sessions.items() if published == (app, name)), None)


def basic_credentials(request: Request) -> str:
    """What HTTP basic authentication carries; empty without it."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return base64.b64decode(value).decode() if kind == "Basic" else ""
