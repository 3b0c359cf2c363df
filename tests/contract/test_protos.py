"""The v1 contract: everything is described, and nothing that callers depend on changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parents[2] / "protos"
PINNED = {
    "gate": "162d2039b08fabc06b96a3af1845d4fe8cdd1e0f43bb58717dd0e4130917459e",
    "operator": "86c58c8bb408e05b0a67284bc16e579ca11ae985304bbf79aeeebf765dccd663",
    "share": "21841d42de5556d8a6e100c78a39430870e6c44081fc112a889647077d0e89f0",
}


@pytest.fixture(scope="module", params=sorted(PINNED))
def contract(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, descriptor_pb2.FileDescriptorProto]:
    name = str(request.param)
    target = tmp_path_factory.mktemp("contract") / "set.pb"
    arguments = [f"-I{PROTOS}", "--include_source_info", f"--descriptor_set_out={target}"]
    assert protoc.main(["protoc", *arguments, str(PROTOS / "edge" / name / "v1" / f"{name}.proto")]) == 0
    return name, descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file[0]


def _parts(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yields each element's path in the source info and a line that changes with every breaking change."""
    for i, message in enumerate(file.message_type):
        yield (4, i), f"message {message.name}"
        for j, field in enumerate(message.field):
            oneof = field.oneof_index if field.HasField("oneof_index") else ""
            kind = f"{field.label} {field.type} {field.type_name}"
            yield (4, i, 2, j), f"{message.name}.{field.name} = {field.number}: {kind} {oneof}"
    for i, service in enumerate(file.service):
        yield (6, i), f"service {service.name}"
        for j, rpc in enumerate(service.method):
            streams = f"{rpc.client_streaming} {rpc.server_streaming}"
            yield (6, i, 2, j), f"{service.name}.{rpc.name}: {rpc.input_type} {rpc.output_type} {streams}"


def _shape(file: descriptor_pb2.FileDescriptorProto) -> str:
    lines = [line for _, line in _parts(file)]
    lines += [f"{e.name}.{v.name} = {v.number}" for e in file.enum_type for v in e.value]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def test_everything_has_a_comment(contract: tuple[str, descriptor_pb2.FileDescriptorProto]) -> None:
    _, file = contract
    described = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments}
    assert [line for path, line in _parts(file) if path not in described] == []


def test_names_numbers_and_types_of_v1_stay(
    contract: tuple[str, descriptor_pb2.FileDescriptorProto],
) -> None:
    name, file = contract
    assert _shape(file) == PINNED[name], f"{name} v1 changed: additions pin anew, anything else is a v2"
