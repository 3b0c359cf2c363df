"""The Gate service: what ingest servers call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import structlog
from google.protobuf.message import DecodeError

from edge.api import bounds
from edge.api.auth import Role, TokenFile
from edge.api.connections import BusyPeers
from edge.api.failed_calls import Turnstile
from edge.api.status import Context, abort_stream, answers_errors, authorization_of, streams_errors
from edge.background import BackgroundTasks, task_health
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.domain import UNPROVEN_ATTRIBUTE, Publish, StreamId
from edge.errors import GateError, InvalidInput, SourceStalled, WorkerLost
from edge.names import MAX_BROADCASTER, check_name, stored_name
from edge.reasons import AdmissionReason, EndReason
from edge.supervise import Gate
from edge.supervise.authority import Caller
from edge.supervise.live_stream import LiveStream
from edge.telemetry.records import CallBroken

_REASONS = {
    AdmissionReason.ADMITTED: gate_pb2.REASON_CODE_ADMITTED,
    AdmissionReason.BLOCKED: gate_pb2.REASON_CODE_BLOCKED,
    AdmissionReason.CAPACITY: gate_pb2.REASON_CODE_CAPACITY,
    AdmissionReason.QUOTA: gate_pb2.REASON_CODE_QUOTA,
    AdmissionReason.ALREADY_LIVE: gate_pb2.REASON_CODE_ALREADY_LIVE,
    AdmissionReason.PAUSED: gate_pb2.REASON_CODE_PAUSED,
    AdmissionReason.LEDGER_DOWN: gate_pb2.REASON_CODE_LEDGER_DOWN,
    AdmissionReason.DRAINING: gate_pb2.REASON_CODE_DRAINING,
}


log = structlog.get_logger(__name__)


class GateServicer(gate_pb2_grpc.GateServicer):
    def __init__(self, gate: Gate, tokens: TokenFile, busy: BusyPeers, turnstile: Turnstile) -> None:
        """``busy`` gets to know whose connections have a call that watches a stream."""
        self.turnstile = turnstile
        self._gate = gate
        self._tokens = tokens
        self._busy = busy
        self._tasks = BackgroundTasks()

    @answers_errors
    async def Admit(self, request: gate_pb2.AdmitRequest, context: Context) -> gate_pb2.AdmitResponse:
        limits = self._gate.settings.limits
        app = check_name("app", bounds.text("app", request.app, limits.max_app_chars, required=True))
        name = check_name("name", bounds.text("name", request.name, limits.max_name_chars, required=True))
        attributes = {
            key: stored_name(f"attributes[{key}]", value, limits.max_attribute_chars)
            for key, value in bounds.attributes(
                "attributes", request.attributes, limits.max_attributes, limits.max_attribute_chars
            ).items()
        }
        if request.HasField("identity_proven") and not request.identity_proven:
            attributes[UNPROVEN_ATTRIBUTE] = "true"
        publish = Publish(
            server=bounds.text("server", request.server, 64, required=True),
            connection=bounds.text("connection", request.connection, limits.max_connection_chars),
            app=app,
            name=name,
            broadcaster=stored_name(
                "broadcaster",
                bounds.text("broadcaster", request.broadcaster, limits.max_broadcaster_chars),
                limits.max_broadcaster_chars,
            )
            or stored_name("name", f"{app}/{name}", MAX_BROADCASTER),
            address=bounds.text("address", request.address, 64),
            attributes=attributes,
        )
        peer = context.peer()
        await self.turnstile.hold_admit(peer)
        admission = await self._gate.admit(publish, _caller(context))
        if admission.crowded:
            self.turnstile.unused(peer)
        response = gate_pb2.AdmitResponse(
            allowed=admission.allowed,
            stream_id=admission.stream_id or "",
            reason=_REASONS[admission.reason],
            blocked_until_wall_ms=admission.until_ms,
            block_id=admission.block_id,
            provisional=admission.provisional,
            resembles_block_id=admission.resembles_block_id,
        )
        if admission.notice is not None:
            response.message.en, response.message.ar = admission.notice.en, admission.notice.ar
        if admission.stream_id is not None:
            response.admission_secret = self._gate.admission_secret(admission.stream_id)
            response.watch_mode = (
                gate_pb2.WATCH_MODE_PULL
                if self._gate.wants_pull(publish.server)
                else gate_pb2.WATCH_MODE_PUSH
            )
        return response

    @streams_errors
    async def Watch(
        self, requests: AsyncIterator[gate_pb2.WatchRequest], context: Context
    ) -> AsyncIterator[gate_pb2.WatchResponse]:
        limit = self._gate.settings.limits.watch_open_ms
        try:
            async with asyncio.timeout(limit / 1000):
                first = await _next(context)
        except TimeoutError:
            self._gate.telemetry.report(CallBroken("no_open"))
            raise SourceStalled(f"open: none came within {limit} ms, see limits.watch_open_ms") from None
        if first is None or first.WhichOneof("request") != "open":
            raise InvalidInput("open", "must be the first message of a Watch call")
        stream = self._gate.router.open_push(
            bounds.text("open.stream_id", first.open.stream_id, 64, required=True),
            first.open.codec,
            first.open.extradata,
            _caller(context, first.open.admission_secret),
        )
        reading = self._tasks.start(self._read(stream, context))
        async for answer in self._answer(stream, context, reading):
            yield answer

    async def _read(self, stream: LiveStream, context: Context) -> None:
        """Reads the media of one call until `end`. The caller's half-close counts as one."""
        responses, router = stream.responses, self._gate.router
        assert responses is not None
        try:
            while (request := await _next(context)) is not None:
                match request.WhichOneof("request"):
                    case "access_unit":
                        if router.intake.push(stream, request.access_unit):
                            await router.intake.drained(stream)
                    case "audio":
                        if router.intake.push_audio(stream, request.audio):
                            await router.intake.drained(stream)
                    case "end":
                        reason = EndReason(bounds.text("end.reason", request.end.reason, 64))
                        detail = bounds.text("end.detail", request.end.detail, 512)
                        if reason is EndReason.UNWATCHABLE:
                            router.caller_cannot_pass_on(stream, detail)
                        else:
                            router.end_push(stream, reason)
                        return
                    case "open":
                        raise InvalidInput("open", "a Watch call has exactly one")
                    case _:
                        raise InvalidInput("request", "must be open, access_unit, audio or end")
            router.end_push(stream, EndReason.HALF_CLOSE)
        except GateError as error:
            responses.close(error)
        except (grpc.RpcError, grpc.aio.BaseError):
            responses.close()  # the call is over
        except Exception as error:
            task_health().failed("GateServicer._read", error, stream_id=stream.id)
            responses.close(WorkerLost("the gate failed to read the call"))

    @streams_errors
    async def Attach(
        self, request: gate_pb2.AttachRequest, context: Context
    ) -> AsyncIterator[gate_pb2.WatchResponse]:
        stream = self._gate.router.attach_call(
            bounds.text("stream_id", request.stream_id, 64, required=True),
            bounds.text("url", request.url, self._gate.settings.limits.max_url_chars, required=True),
            _caller(context, request.admission_secret),
        )
        async for answer in self._answer(stream, context, None):
            yield answer

    async def _answer(
        self, stream: LiveStream, context: Context, reading: asyncio.Task[None] | None
    ) -> AsyncIterator[gate_pb2.WatchResponse]:
        responses = stream.responses
        assert responses is not None
        peer = context.peer()
        self.turnstile.calls.used(peer)
        try:
            with self._busy.calling(peer):
                while (answer := await responses.get()) is not None:
                    yield answer
        finally:
            try:
                if reading is not None:
                    reading.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await reading
            finally:
                self._gate.router.call_ended(stream, responses)
        # Only now: whoever still reads from a call that is aborted gets an error for it.
        if responses.error is not None:
            await abort_stream(context, responses.error)

    @answers_errors
    async def Detach(self, request: gate_pb2.DetachRequest, context: Context) -> gate_pb2.DetachResponse:
        watched = self._gate.router.detach(
            bounds.text("stream_id", request.stream_id, 64, required=True),
            EndReason(bounds.text("reason", request.reason, 64)),
            _caller(context, request.admission_secret),
        )
        if not watched:
            self.turnstile.unused(context.peer())
        return gate_pb2.DetachResponse()

    @answers_errors
    async def ReleaseStream(
        self, request: gate_pb2.ReleaseStreamRequest, context: Context
    ) -> gate_pb2.ReleaseStreamResponse:
        self._gate.router.release(
            bounds.text("stream_id", request.stream_id, 64, required=True),
            _caller(context, request.admission_secret),
        )
        self.turnstile.unused(context.peer())
        return gate_pb2.ReleaseStreamResponse()

    @answers_errors
    async def ConfirmCut(
        self, request: gate_pb2.ConfirmCutRequest, context: Context
    ) -> gate_pb2.ConfirmCutResponse:
        stream_id = bounds.text("stream_id", request.stream_id, 64, required=True)
        caller = _caller(context, request.admission_secret)
        person = self._tokens.identify(authorization_of(context))
        if person is not None and person.role >= Role.REVIEWER:
            caller = replace(caller, secret=self._gate.admission_secret(StreamId(stream_id)))
        return gate_pb2.ConfirmCutResponse(
            time_to_cut_ms=self._gate.confirm_cut(stream_id, request.closed_wall_ms, caller)
        )


async def _next(context: Context) -> gate_pb2.WatchRequest | None:
    """Returns the caller's next message, or None after its half-close.

    Reads from the call itself, because its iterator costs a turn of an asynchronous generator with each
    access unit.
    """
    try:
        request = await context.read()
    except DecodeError:
        raise InvalidInput("request", "is not a WatchRequest") from None
    return request if isinstance(request, gate_pb2.WatchRequest) else None


def _caller(context: Context, secret: str = "") -> Caller:
    secret = bounds.text("admission_secret", secret, 64)
    subject = context.auth_context().get("x509_common_name")
    if subject:
        name = "tls:" + b"".join(subject).decode(errors="replace")
        return Caller(name, name, secret)
    peer = context.peer()
    address = peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
    return Caller(address, peer, secret)
