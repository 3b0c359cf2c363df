"""Reference of the contract: services, messages and enums with the comments of the `.proto` files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

from docgen.markdown import cell, code, table

PROTOS = Path(__file__).resolve().parent.parent / "protos"
PUBLIC = ("gate", "operator")
"""The packages that callers use. `worker` is internal to the gate."""

# Field numbers in descriptor.proto. The source info names a place by a path of them.
_MESSAGE, _ENUM, _SERVICE, _SYNTAX, _MEMBER = 4, 5, 6, 12, 2
_Comments = dict[tuple[int, ...], str]


def read_contract(name: str) -> FileDescriptorProto:
    """Parses one package of the contract with its comments. Raises RuntimeError when protoc rejects it."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "set.binpb"
        source = PROTOS / "edge" / name / "v1" / f"{name}.proto"
        arguments = [f"-I{PROTOS}", "--include_source_info", f"--descriptor_set_out={target}", str(source)]
        if protoc.main(["protoc", *arguments]) != 0:
            raise RuntimeError(f"protoc cannot read {source}")
        return FileDescriptorSet.FromString(target.read_bytes()).file[0]


def describe_contract(name: str) -> str:
    """Returns the page of one package: its file comment, services, messages and enums."""
    file = read_contract(name)
    comments = {tuple(at.path): _unindented(at.leading_comments) for at in file.source_code_info.location}
    parts = [f"{comments.get((_SYNTAX,), '')}\n"]
    for index, service in enumerate(file.service):
        parts += _service(file, service, comments, (_SERVICE, index))
    parts.append("## Messages\n")
    for index, message in enumerate(file.message_type):
        parts += _message(file, message, comments, (_MESSAGE, index))
    parts.append("## Enums\n")
    for index, enum in enumerate(file.enum_type):
        parts += _enum(enum, comments, (_ENUM, index))
    return "\n".join(parts)


def _unindented(comment: str) -> str:
    """Returns a comment without the blank after each `//`."""
    return "\n".join(line.removeprefix(" ") for line in comment.strip().splitlines())


def _service(
    file: FileDescriptorProto, service: ServiceDescriptorProto, comments: _Comments, path: tuple[int, ...]
) -> Iterator[str]:
    yield f"## {service.name}\n"
    yield f"{comments.get(path, '')}\n"
    for index, method in enumerate(service.method):
        yield f"### {method.name} {{ #{service.name}.{method.name} }}\n"
        yield f"{_signature(file, method)}\n"
        yield f"{comments.get((*path, _MEMBER, index), '')}\n"


def _signature(file: FileDescriptorProto, method: MethodDescriptorProto) -> str:
    asked = _link(file, method.input_type)
    answered = _link(file, method.output_type)
    return (
        f"{'a stream of ' if method.client_streaming else ''}{asked} → "
        f"{'a stream of ' if method.server_streaming else ''}{answered}"
    )


def _message(
    file: FileDescriptorProto, message: DescriptorProto, comments: _Comments, path: tuple[int, ...]
) -> Iterator[str]:
    yield f"### {message.name} {{ #{message.name} }}\n"
    yield f"{comments.get(path, '')}\n"
    rows = []
    for index, field in enumerate(message.field):
        meaning = comments.get((*path, _MEMBER, index), "")
        if field.HasField("oneof_index"):
            meaning = f"{meaning} One of `{message.oneof_decl[field.oneof_index].name}`."
        rows.append((code(field.name), str(field.number), _type(file, message, field), cell(meaning)))
    yield table(("Field", "No.", "Type", "Meaning"), rows) or "It has no fields.\n"


def _enum(enum: EnumDescriptorProto, comments: _Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield f"### {enum.name} {{ #{enum.name} }}\n"
    yield f"{comments.get(path, '')}\n"
    yield table(
        ("Value", "No.", "Meaning"),
        (
            (code(value.name), str(value.number), cell(comments.get((*path, _MEMBER, index), "")))
            for index, value in enumerate(enum.value)
        ),
    )


def _type(file: FileDescriptorProto, message: DescriptorProto, field: FieldDescriptorProto) -> str:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
            key, value = (_type(file, nested, each) for each in nested.field)
            return f"map of {key} to {value}"
    if field.type_name:
        name = _link(file, field.type_name)
    else:
        name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    return f"list of {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def _link(file: FileDescriptorProto, type_name: str) -> str:
    """Returns a link to a message or enum of a full name such as `.edge.gate.v1.Verdict`."""
    package, _, name = type_name.lstrip(".").rpartition(".")
    page = "" if package == file.package else f"{package.split('.')[1]}.md"
    return f"[{name}]({page}#{name})"
