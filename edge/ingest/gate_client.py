"""The calls to the gate that an ingest server in push mode needs."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc import aio

from edge.contract.gate import audio_to_proto
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.contract.trailing import FAULT, REASON
from edge.domain import AccessUnit, Audio, Codec
from edge.errors import ConfigError, Fault, GateUnavailable, InvalidInput
from edge.ingest.gate_channel import gate_channel
from edge.ingest.rtmp import PublishRequest
from edge.ingest.settings import IngestSettings
from edge.settings_file import MAX_KEY_BYTES, read_settings_text

WatchCall = aio.StreamStreamCall[gate_pb2.WatchRequest, gate_pb2.WatchResponse]
T = TypeVar("T")
_BY_PUBLISHER = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_DETAIL_CHARS = 512
_SERVER_KIND = "reference"


@dataclass(frozen=True, slots=True)
class AdmittedStream:
    """A stream that the gate has admitted. No id: the gate was not asked, or knows it no more."""

    id: str = ""
    secret: str = field(default="", repr=False)
    """What every other call of the stream shows to the gate."""

    @classmethod
    def of(cls, answer: gate_pb2.AdmitResponse) -> AdmittedStream:
        return cls(answer.stream_id, answer.admission_secret)


class GateClient:
    """One channel to the gate. Every unary call has a deadline."""

    def __init__(self, settings: IngestSettings) -> None:
        self._timeout_s = settings.admit_timeout_s
        self._channel = gate_channel(settings)
        self._metadata = _metadata(settings.gate_token)
        self._gate = gate_pb2_grpc.GateStub(self._channel)

    async def admit(self, publish: PublishRequest, connection: str) -> gate_pb2.AdmitResponse:
        """Asks whether this publish may go live. Raises GateUnavailable without an answer in time, and
        InvalidInput if the gate takes nothing of what the publisher says of itself."""
        request = gate_pb2.AdmitRequest(
            server=_SERVER_KIND,
            connection=connection,
            app=publish.app,
            name=publish.name,
            broadcaster=publish.broadcaster,
            address=publish.address,
            attributes={"stream_key": publish.stream_key} if publish.stream_key else {},
            identity_proven=publish.identity_proven,
        )
        try:
            return await self._gate.Admit(request, timeout=self._timeout_s, metadata=self._metadata)
        except aio.AioRpcError as error:
            if fault_of(error.code(), error.trailing_metadata()) is Fault.PUBLISHER:
                raise InvalidInput("publish", error.details() or error.code().name) from error
            raise GateUnavailable(f"Admit: {error.code().name}: {error.details()}") from error

    def watch(self) -> WatchCall:
        """Opens a Watch call. Errors appear when the call is read."""
        call: WatchCall = self._gate.Watch(metadata=self._metadata)  # type: ignore[call-arg]  # the stub wants an iterator
        return call

    async def confirm_cut(self, stream: AdmittedStream, closed_wall_ms: int) -> float:
        """Reports that the publisher's socket is closed. Returns the time-to-cut in ms, -1 if the gate had
        not cut."""
        request = gate_pb2.ConfirmCutRequest(
            stream_id=stream.id, closed_wall_ms=closed_wall_ms, admission_secret=stream.secret
        )
        try:
            answer = await self._gate.ConfirmCut(request, timeout=self._timeout_s, metadata=self._metadata)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return -1.0  # the gate was restarted
            raise GateUnavailable(f"ConfirmCut: {error.code().name}: {error.details()}") from error
        return float(answer.time_to_cut_ms)

    async def give_back(self, stream: AdmittedStream) -> None:
        """Reports that a publisher has left before its stream was watched. Never raises: the gate forgets the
        stream by itself, only later."""
        request = gate_pb2.ReleaseStreamRequest(stream_id=stream.id, admission_secret=stream.secret)
        with contextlib.suppress(aio.AioRpcError):
            await self._gate.ReleaseStream(request, timeout=self._timeout_s, metadata=self._metadata)

    async def close(self) -> None:
        await self._channel.close(grace=0)


class FinalStatus:
    """The status with which the gate closed a Watch call. None while the call is open.

    If a pending write fails afterwards, grpc.aio replaces the received status by INTERNAL (grpc/grpc#36066).
    So this class saves the status as it arrives.
    """

    def __init__(self, call: WatchCall) -> None:
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.fault = Fault.GATE
        self.reason = ""
        """The gate's word; empty where gRPC itself has ended the call."""
        call.add_done_callback(self._note)

    def _note(self, call: Any) -> None:
        code = _now(call.code())
        if self.code is None or self.code is grpc.StatusCode.INTERNAL:
            self.code, self.details = code, _now(call.details()) or ""
            trailing = _now(call.trailing_metadata())
            self.fault, self.reason = fault_of(code, trailing), str(dict(trailing or ()).get(REASON, ""))


def fault_of(code: grpc.StatusCode, trailing: Iterable[Any] | None) -> Fault:
    """Whose fault ended a call. Where the gate does not say, or gRPC itself has ended the call, the status
    decides. A message over what gRPC takes is RESOURCE_EXHAUSTED, and the publisher chose its size."""
    said = dict(trailing or ()).get(FAULT)
    if said is not None:
        return Fault.PUBLISHER if said == Fault.PUBLISHER else Fault.GATE
    return Fault.PUBLISHER if code in _BY_PUBLISHER else Fault.GATE


def _now(ready: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends."""
    try:
        ready.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("the call has no status yet")


def open_request(stream: AdmittedStream, codec: Codec, extradata: bytes) -> gate_pb2.WatchRequest:
    return gate_pb2.WatchRequest(
        open=gate_pb2.WatchOpen(
            stream_id=stream.id, admission_secret=stream.secret, codec=codec.value, extradata=extradata
        )
    )


def unit_request(unit: AccessUnit) -> gate_pb2.WatchRequest:
    return gate_pb2.WatchRequest(
        access_unit=gate_pb2.AccessUnit(
            pts_ms=unit.pts_ms, dts_ms=unit.dts_ms, keyframe=unit.keyframe, data=unit.data
        )
    )


def audio_request(audio: Audio) -> gate_pb2.WatchRequest:
    return gate_pb2.WatchRequest(audio=audio_to_proto(audio))


def end_request(reason: str, detail: str = "") -> gate_pb2.WatchRequest:
    return gate_pb2.WatchRequest(end=gate_pb2.WatchEnd(reason=reason, detail=detail[:_DETAIL_CHARS]))


def _metadata(token: Path | None) -> tuple[tuple[str, str], ...]:
    """What each call shows. Raises ConfigError for a token file that others can read, or without one word."""
    if token is None:
        return ()
    words = read_settings_text(token, MAX_KEY_BYTES, private=True).split()
    if len(words) != 1 or not words[0].isascii() or not words[0].isprintable():
        raise ConfigError(f"{token}: must hold one token and nothing else")
    return (("authorization", f"Bearer {words[0]}"),)
