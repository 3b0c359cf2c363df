"""Calls that reach no servicer of ours: anybody may make them, so whoever makes many waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from edge.api.failed_calls import Turnstile
from edge.api.status import Context, abort
from edge.errors import InvalidInput
from edge.telemetry.records import CallBroken
from edge.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    Interceptor = grpc.aio.ServerInterceptor


class VainCalls(Interceptor):
    """Charges calls of health and reflection, of methods that there are not, and with what is no message.

    ``services`` charge their other calls themselves.
    """

    def __init__(self, services: Iterable[str], turnstile: Turnstile, telemetry: Telemetry) -> None:
        self._own = tuple(f"/{service}/" for service in services)
        self._turnstile = turnstile
        self._telemetry = telemetry

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(self._unknown)
        if not handler_call_details.method.startswith(self._own):
            return self._held(handler)
        return self._decoding(handler)

    async def _unknown(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        await self._turnstile.hold_failed(context.peer(), urgent=False)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        yield b""  # never reached: it makes this a stream

    def _held(self, handler: Any) -> Any:
        """Health and reflection. A load balancer waits shortly for health."""

        async def check(request: Any, context: Context) -> Any:
            await self._turnstile.hold_failed(context.peer(), urgent=True)
            return await (handler.unary_unary or handler.unary_stream)(request, context)

        async def reflect(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async def held() -> AsyncIterator[Any]:
                async for request in requests:
                    await self._turnstile.hold_failed(context.peer(), urgent=False)
                    yield request

            await self._turnstile.hold_failed(context.peer(), urgent=False)
            async for answer in handler.stream_stream(held(), context):
                yield answer

        if handler.request_streaming:
            return handler._replace(stream_stream=reflect)
        return handler._replace(**{"unary_stream" if handler.response_streaming else "unary_unary": check})

    def _decoding(self, handler: Any) -> Any:
        """Reads and decodes the one request of a call here. gRPC tells nobody of a call that is cancelled
        before it has come, and not whose message it cannot decode."""
        decode = handler.request_deserializer
        if handler.request_streaming or decode is None:
            return handler

        async def unary(requests: AsyncIterator[bytes], context: Context) -> Any:
            return await handler.unary_unary(await self._request(decode, context), context)

        async def stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
            async for answer in handler.unary_stream(await self._request(decode, context), context):
                yield answer

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)

    async def _request(self, decode: Callable[[bytes], Any], context: Context) -> Any:
        try:
            request = await context.read()
        except asyncio.CancelledError:
            self._turnstile.cancelled(context.peer())
            raise
        if isinstance(request, bytes):
            with contextlib.suppress(DecodeError):
                return decode(request)
        self._telemetry.report(CallBroken(DecodeError.__name__))
        await self._turnstile.hold_failed(context.peer(), urgent=False)
        await abort(context, InvalidInput("request", "is not the message of this method"))
