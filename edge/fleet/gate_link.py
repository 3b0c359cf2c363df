"""Asks another gate of the fleet for evidence. The caller of this one has been signed in and audited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc
from cachetools import LRUCache

from edge.background import BackgroundTasks
from edge.clock import Clock
from edge.contract.gen import operator_pb2, operator_pb2_grpc
from edge.contract.trailing import REASON
from edge.errors import (
    BrokenMedia,
    ConfigError,
    EvidenceElsewhere,
    EvidenceErased,
    EvidenceStoreFailed,
    GateAway,
    GateError,
    InvalidInput,
    NotFound,
)
from edge.fleet.settings import FleetSection
from edge.fleet.signing import FleetCall, sign
from edge.section import grpc_target, is_local
from edge.settings_file import MAX_KEY_BYTES, read_settings_file

_CONNECT_MS: Final = 3_000
_SILENT_S: Final = 10.0
"""How long an answer may say nothing. Posters are made first, and take longer."""
_POSTERS_S: Final = 60.0
_OPTIONS: Final = [
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", _CONNECT_MS),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
]
_CHANNELS: Final = 64

Asked = operator_pb2.GetEvidenceRequest


def asked_words(request: Asked) -> tuple[str | int, ...]:
    """What a call asks for, as it is signed."""
    return (
        "GetEvidence",
        request.incident_id,
        int(request.part),
        request.begin_bytes,
        request.length_bytes,
    )


class GateLink:
    """Connections to other gates, each opened when it is needed first. For one event loop."""

    def __init__(
        self,
        section: FleetSection,
        own_name: str,
        clock: Clock,
        own_certificate: tuple[Path, Path] | None = None,
        *,
        in_clear: bool = False,
    ) -> None:
        """``own_certificate``: chain and key, for gates that ask for one. ``in_clear``: evidence may come
        from another machine without TLS."""
        self._section = section
        self._own_name = own_name
        self._clock = clock
        self._own_certificate = own_certificate
        self._in_clear = in_clear
        self._channels: LRUCache[str, grpc.aio.Channel] = LRUCache(_CHANNELS)
        self._closing = BackgroundTasks()

    @property
    def secret(self) -> bytes | None:
        secret = self._section.secret
        return None if secret is None else secret.get_secret_value().encode()

    async def ask(
        self, gate: str, url: str | None, request: Asked, by: str
    ) -> AsyncIterator[operator_pb2.EvidenceChunk]:
        """Yields the answer of another gate.

        Raises GateAway, EvidenceElsewhere that says what is missing, and what the other gate says: NotFound,
        EvidenceErased, InvalidInput, BrokenMedia, EvidenceStoreFailed.
        """
        incident_id, secret = request.incident_id, self.secret
        if secret is None:
            raise EvidenceElsewhere(
                incident_id,
                gate,
                "ask that gate, or set fleet.secret here and fleet.address there, or evidence.url to a "
                "bucket that all gates share",
            )
        if not url:
            raise EvidenceElsewhere(incident_id, gate, "it announces no address: set fleet.address there")
        try:
            stub: Any = operator_pb2_grpc.OperatorStub(self._channel(url))
        except ConfigError as error:
            raise EvidenceElsewhere(incident_id, gate, str(error)) from None
        call_of = FleetCall(self._own_name, gate, by, self._clock.wall_ms())
        authorization = sign(secret, call_of, asked_words(request))
        call = stub.GetEvidence(request, metadata=(("authorization", authorization),))
        patience_s = _POSTERS_S if request.part == operator_pb2.EVIDENCE_PART_POSTERS else _SILENT_S
        answers = aiter(call)
        try:
            while True:
                async with asyncio.timeout(patience_s):
                    chunk = await anext(answers, None)
                if chunk is None:
                    return
                yield chunk
        except TimeoutError:
            raise GateAway(
                incident_id, gate, f"{_place(url)} has said nothing for {patience_s:.0f} s"
            ) from None
        except grpc.aio.AioRpcError as error:
            raise _meant(error, request, gate, url) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close(None)
        self._channels.clear()
        await self._closing.aclose()

    def _channel(self, url: str) -> grpc.aio.Channel:
        """Raises ConfigError."""
        known = self._channels.get(url)
        if known is not None:
            return known
        scheme, place = url.partition("://")[0], _place(url)
        if scheme == "grpcs":
            credentials = grpc.ssl_channel_credentials(
                *map(_pem, (self._section.ca, *reversed(self._own_certificate or (None, None))))
            )
            channel = grpc.aio.secure_channel(grpc_target(place), credentials, _OPTIONS)
        elif is_local(place) or self._in_clear:
            channel = grpc.aio.insecure_channel(grpc_target(place), _OPTIONS)
        else:
            raise ConfigError(
                f"{place} has no TLS, and evidence would pass in clear text: give it grpc.tls_cert, or set "
                "grpc.insecure here"
            )
        if self._channels.currsize >= self._channels.maxsize:
            _, unused = self._channels.popitem()
            self._closing.start(unused.close(_POSTERS_S), "GateLink.close")  # its calls may end
        self._channels[url] = channel
        return channel


def _place(url: str) -> str:
    return url.partition("://")[2]


def _pem(path: Path | None) -> bytes | None:
    return None if path is None else read_settings_file(path, MAX_KEY_BYTES)


def _meant(error: grpc.aio.AioRpcError, request: Asked, gate: str, url: str) -> GateError:
    """What the other gate means, as this gate says it."""
    code, details = error.code(), error.details() or error.code().name
    trailing: dict[Any, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]  # of pairs
    incident_id, reason = request.incident_id, trailing.get(REASON)
    if reason is None:
        return GateAway(incident_id, gate, f"nothing answers at {_place(url)} ({details[:300]})")
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return EvidenceElsewhere(
            incident_id, gate, f"it does not answer this gate: is fleet.secret the same there? ({details})"
        )
    if reason == EvidenceErased.reason:
        return EvidenceErased(details)
    if reason == BrokenMedia.reason:
        return BrokenMedia(details)
    if code is grpc.StatusCode.NOT_FOUND:
        return NotFound("clip of incident", incident_id)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        field, _, problem = details.partition(": ")
        return InvalidInput(field, problem)
    return EvidenceStoreFailed(f"gate {gate!r}: {details}")
