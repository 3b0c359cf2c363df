"""Hooks of servers that post JSON. The gate answers at once, and then follows the publishes it admitted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.domain import Publish, StreamId
from edge.servers.connector import ApiConnector
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_http import hook_route, refusal_status, words
from edge.servers.publish_arguments import PublishArguments
from edge.servers.publish_lifecycle import Follower
from edge.servers.settings import ServerSection


class FollowedHooks(ABC):
    """The hooks of one server whose API names the publisher of a stream.

    A kind provides ``server`` and ``on_call``. It also provides ``accept`` and ``refuse`` if the server
    does not go by the HTTP status. Every hook must carry ``secret``.
    """

    server: ClassVar[str]

    def __init__(
        self, gatekeeper: Gatekeeper, connector: ApiConnector, settings: ServerSection, secret: str | None
    ) -> None:
        self._secret = secret
        self._arguments = PublishArguments.of(settings)
        self._follower = Follower(gatekeeper, connector, settings.pull_url)

    def routes(self) -> list[Route]:
        return [hook_route(f"/hooks/{self.server}", self._secret, self.on_call, self.refuse)]

    def resume(self, stream_id: StreamId, publish: Publish) -> None:
        self._follower.follow(stream_id, publish, resumed=True)

    async def aclose(self) -> None:
        await self._follower.aclose()

    @abstractmethod
    async def on_call(self, request: Request, body: bytes) -> Response:
        """The answer to one call. Raises InvalidInput or LimitExceeded with the field."""

    async def admit(self, publish: Publish) -> Response:
        """Ask the gate whether the publish may go live; follow what it lets in."""
        admission = await self._follower.admit(publish)
        if admission.allowed:
            return self.accept()
        return self.refuse(refusal_status(admission.reason), words(admission.notice))

    def accept(self) -> Response:
        """The answer that lets a publish go live. It also acknowledges every other call."""
        return Response(status_code=200)

    def refuse(self, status: int, why: str) -> Response:
        """The answer that refuses a publish. ``status`` is the HTTP status."""
        return PlainTextResponse(f"{why}\n", status_code=status)
