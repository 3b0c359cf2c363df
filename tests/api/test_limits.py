"""Each field of each call is bounded: a value over its limit is INVALID_ARGUMENT, and the error names it.

The table is the contract itself, so that no field of a new call is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from edge.api.auth import TokenFile
from edge.api.server import GrpcServer
from edge.contract.gen import gate_pb2, operator_pb2
from edge.policy import Policy
from tests.supervise.gate_without_workers import gate_without_workers

TOKEN = "a-token-of-anna-1"
LONG = "y" * 100_000
METHODS = [
    method
    for file, name in ((gate_pb2, "Gate"), (operator_pb2, "Operator"))
    for method in file.DESCRIPTOR.services_by_name[name].methods
]
GOOD: dict[str, Any] = {
    "subject_kind": "broadcaster",
    "directory": "/x",
    "json": Policy().model_dump_json(),
    "patch_json": "{}",
    "duration_ms": 3_600_000,
    "url": "rtmp://127.0.0.1/x",
    "decision": operator_pb2.INCIDENT_STATE_CONFIRMED,
    "mark": operator_pb2.BANK_MARK_DISABLE,
}
LEFT_OUT = ("admission_secret", "before_id", "after_id", "expected_digest")
NAMED = {"json": "policy"}
"""What an error calls a field, where that is not its name."""
OTHER_BOUNDS = {"closed_wall_ms", "version", "expected_version", "stretch"}
"""Whatever the number, there is such a time or version or not. A stretch lies in its incident's clip."""


def fields_of(method: MethodDescriptor) -> Iterator[FieldDescriptor]:
    return iter(method.input_type.fields)


def too_much(field: FieldDescriptor) -> list[Any]:
    """Values over the field's limits."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return [{str(n): "" for n in range(300)}, {LONG: ""}, {"key": LONG}]
    if field.is_repeated and field.type == FieldDescriptor.TYPE_STRING:
        return [[LONG], ["x"] * 300]
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return [LONG]
        case FieldDescriptor.TYPE_INT32:
            return [-1, 2**31 - 1]
        case FieldDescriptor.TYPE_INT64:
            return [-1, 2**63 - 1]
        case FieldDescriptor.TYPE_DOUBLE:
            return [-1.0, 1e300, float("nan")]
        case FieldDescriptor.TYPE_ENUM:
            return [999]
        case FieldDescriptor.TYPE_BOOL:
            return []
        case FieldDescriptor.TYPE_MESSAGE if field.message_type is not None:
            whole = message_factory.GetMessageClass(field.message_type)
            return [whole(**{one.name: much}) for one in field.message_type.fields for much in too_much(one)]
    raise AssertionError(f"{field.full_name}: say what is too much of it")


CASES = [
    pytest.param(method, field, value, id=f"{method.name}-{field.name}-{number}")
    for method in METHODS
    if not method.client_streaming
    for field in fields_of(method)
    if field.name not in OTHER_BOUNDS
    for number, value in enumerate(too_much(field))
]


class Served:
    """A gate whose calls are made by their descriptors, as an administrator."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = cast("Any", channel)
        self._admitted = 0

    async def call(self, method: MethodDescriptor, *requests: Any) -> tuple[grpc.StatusCode, str]:
        """The status, and the message of an error."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        read = message_factory.GetMessageClass(method.output_type).FromString
        given = {"metadata": (("authorization", f"Bearer {TOKEN}"),), "timeout": 30}

        def write(message: Any) -> bytes:
            raw: bytes = message.SerializeToString()
            return raw

        try:
            if method.client_streaming:
                call = self._channel.stream_stream(path, write, read)(iter(requests), **given)
            elif method.server_streaming:
                call = self._channel.unary_stream(path, write, read)(requests[0], **given)
            else:
                await self._channel.unary_unary(path, write, read)(requests[0], **given)
                return grpc.StatusCode.OK, ""
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""

    async def stream(self) -> str:
        self._admitted += 1
        name = f"x{self._admitted}"
        request = gate_pb2.AdmitRequest(server="own", connection=name, app="live", name=name)
        ask = self._channel.unary_unary(
            "/edge.gate.v1.Gate/Admit", lambda one: one.SerializeToString(), gate_pb2.AdmitResponse.FromString
        )
        answer = await ask(request)
        assert answer.allowed, answer
        return str(answer.stream_id)

    async def good(self, kind: Descriptor) -> Any:
        """A request whose fields are all within their limits."""
        message: Any = message_factory.GetMessageClass(kind)()
        for field in kind.fields:
            if field.name == "stream_id":
                message.stream_id = await self.stream()
            elif field.name in GOOD:
                setattr(message, field.name, GOOD[field.name])
            elif field.is_repeated:
                continue
            elif field.type == FieldDescriptor.TYPE_STRING and field.name not in LEFT_OUT:
                setattr(message, field.name, "x")
        return message


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    async with gate_without_workers(folder) as bench:
        settings = bench.gate.settings
        grpc_section = settings.grpc.model_copy(
            update={"listen": f"unix:{folder}/gate.sock"}
        )  # where nobody waits
        settings = settings.model_copy(update={"grpc": grpc_section})
        settings.operator_tokens.write_text(f"admin anna {TOKEN}\n")
        settings.operator_tokens.chmod(0o600)
        server = GrpcServer(settings, bench.gate, TokenFile(settings.operator_tokens))
        await server.start()
        try:
            async with grpc.aio.insecure_channel(server.address) as channel:
                yield Served(channel)
        finally:
            await server.stop(0)


async def test_what_is_over_its_limit_is_named(tmp_path: Path) -> None:
    wrong = []
    async with served(tmp_path) as gate:
        for case in CASES:
            method, field, value = cast("tuple[MethodDescriptor, FieldDescriptor, Any]", case.values)
            request = await gate.good(method.input_type)
            if isinstance(value, dict):
                getattr(request, field.name).update(value)
            elif isinstance(value, list):
                getattr(request, field.name).extend(value)
            elif isinstance(value, Message):
                getattr(request, field.name).CopyFrom(value)
            else:
                setattr(request, field.name, value)
            code, message = await gate.call(method, request)
            if (
                code is not grpc.StatusCode.INVALID_ARGUMENT
                or NAMED.get(field.name, field.name) not in message
            ):
                wrong.append((case.id, code.name, message[:200]))
            assert len(message) < 2000
    assert wrong == []
    assert len(CASES) > 80


WATCHED: list[tuple[str, dict[str, Any]]] = [
    ("open.stream_id", {"open": {"stream_id": LONG}}),
    ("open.codec", {"open": {"codec": "c" * 17}}),
    ("open.extradata", {"open": {"extradata": bytes(65 * 1024)}}),
    ("admission_secret", {"open": {"admission_secret": "s" * 65}}),
    ("access_unit.data", {"access_unit": {"data": bytes(4 * 1024 * 1024 + 1)}}),
    ("end.reason", {"end": {"reason": "r" * 65}}),
    ("end.detail", {"end": {"reason": "error", "detail": "d" * 513}}),
    ("end.detail", {"end": {"reason": "unwatchable", "detail": "d" * 513}}),
]


async def test_what_is_over_its_limit_in_a_watch_call_is_named(tmp_path: Path) -> None:
    method = gate_pb2.DESCRIPTOR.services_by_name["Gate"].methods_by_name["Watch"]
    async with served(tmp_path) as gate:
        for name, message in WATCHED:
            opening = {"stream_id": await gate.stream(), "codec": "h264", **message.get("open", {})}
            requests = [gate_pb2.WatchRequest(open=gate_pb2.WatchOpen(**opening))]
            if "open" not in message:
                requests.append(gate_pb2.WatchRequest(**message))
            code, said = await asyncio.wait_for(gate.call(method, *requests), 60)
            assert (code, name in said) == (grpc.StatusCode.INVALID_ARGUMENT, True), (name, code, said)
