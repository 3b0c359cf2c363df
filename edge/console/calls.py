"""Calls of the Operator service inside the process, with the checks of role, bounds and audit of gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar, cast

import grpc
from pydantic import SecretStr

from edge.api.status import Context
from edge.contract.gen import operator_pb2
from edge.errors import CallRefused

_MOST: Final = 1000
"""Streams of one call."""
_PEER: Final = "unix:console"
"""As gRPC names a local caller."""
_STATUS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 503,
}
"""HTTP statuses of gRPC's; 500 for others."""
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class CallInProcess:
    """What a servicer's method needs of its caller."""

    token: SecretStr

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token.get_secret_value()}"),)

    def peer(self) -> str:
        return _PEER

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        raise CallRefused(_STATUS.get(code, 500), details)


async def live_streams(
    list_streams: Callable[
        [operator_pb2.ListStreamsRequest, Context], Awaitable[operator_pb2.ListStreamsResponse]
    ],
    token: SecretStr,
    *,
    with_scores: bool = False,
) -> list[operator_pb2.Stream]:
    """Every live stream of this gate. Raises CallRefused."""
    found: list[operator_pb2.Stream] = []
    while True:
        after = found[-1].stream_id if found else ""
        asked = operator_pb2.ListStreamsRequest(after_id=after, with_scores=with_scores)
        page = (await call(list_streams, asked, token)).streams
        found += page
        if len(page) < _MOST:
            return found


async def call(
    method: Callable[[Asked, Context], Awaitable[Answered]], request: Asked, token: SecretStr
) -> Answered:
    """Calls a servicer's method as the person of the token. Raises CallRefused."""
    return await method(request, cast(Context, CallInProcess(token)))
