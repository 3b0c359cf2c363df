"""Commands print names, labels and messages without markup and with every character visible."""

from __future__ import annotations

import contextlib
import io
import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.cli import output
from edge.cli.app import app
from edge.cli.operator_client import GateConnection
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput
from edge.match import Bank, BankInfo
from edge.printable import is_invisible, printable, printable_json

LISTINGS = (
    ["appeal", "list"],
    ["block", "list"],
    ["incident", "list"],
    ["incident", "show", "in_1"],
    ["policy", "history"],
    ["strike", "list"],
)
HOSTILE = (
    "[/x]evil",
    "[bold]b[/bold]",
    ":smile:",
    "a\x1b[2Jb",
    "a\u202eb",
    "v\u200bm",
    "v\u00adm",
    "t\U000e0061",
    "a\rb",
)
text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
in_every_example = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def filled(descriptor: Any, value: str) -> Message:
    """A message with ``value`` in every string, with all nested messages set."""
    made = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            content: Any = value
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry:
            content = filled(field.message_type, value)
        elif field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_INT32):
            content = 1_700_000_000_000 if field.type == FieldDescriptor.TYPE_INT64 else 1
        elif field.type == FieldDescriptor.TYPE_ENUM:
            content = 1
        else:
            continue
        if field.is_repeated:
            getattr(made, field.name).extend([content])
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(made, field.name).CopyFrom(content)
        else:
            setattr(made, field.name, content)
    return made


class HostileGate:
    """Answers every call with messages in which every string is ``value``."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __getattr__(self, method: str) -> Any:
        called = operator_pb2.DESCRIPTOR.services_by_name["Operator"].methods_by_name[method]
        return lambda request, **_: filled(called.output_type, self._value)


def hidden(shown: str) -> set[str]:
    return {each for each in shown if each != "\n" and is_invisible(each)}


@pytest.mark.parametrize("command", LISTINGS, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True])
@in_every_example
@given(value=text)
@example("[/x]evil")
@example("\u202egnp.exe\x1b]0;owned\x07")
def test_every_listing_shows_hostile_text(
    monkeypatch: pytest.MonkeyPatch, command: list[str], as_json: bool, value: str
) -> None:
    @contextlib.contextmanager
    def hostile(*_: object, **__: object) -> Iterator[tuple[HostileGate, tuple[()]]]:
        yield HostileGate(value), ()

    monkeypatch.setattr(GateConnection, "operator", hostile)
    result = CliRunner().invoke(app, [*command, *(["--json"] if as_json else [])])
    assert result.exception is None, result.exception
    assert result.exit_code == 0
    assert not hidden(result.output)
    if as_json:
        assert value in json.dumps(json.loads(result.stdout), ensure_ascii=False) or not value.isalnum()
    elif value == "[/x]evil":
        assert value in result.output


@in_every_example
@given(label=text.filter(bool))
@example("[/x]evil")
def test_bank_list_shows_hostile_labels(tmp_path_factory: pytest.TempPathFactory, label: str) -> None:
    folder = tmp_path_factory.mktemp("banks")
    Bank.create(folder / "known", BankInfo.model_construct(**{**BankInfo().model_dump(), "label": label}))
    for where in (folder, folder / "known"):
        result = CliRunner().invoke(app, ["bank", "list", str(where)])
        assert result.exception is None, result.exception
        assert not hidden(result.output)


@settings(max_examples=30, deadline=None)
@given(message=text)
@example("[/x]evil")
def test_an_error_line_shows_hostile_text(message: str) -> None:
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "stderr", output.PlainConsole(file=file, width=500))
        output.print_error(InvalidInput("name", message))
    assert not hidden(file.getvalue())
    assert printable(message) in file.getvalue()


@given(value=st.text())
def test_printable_hides_nothing_and_keeps_what_is_visible(value: str) -> None:
    shown = printable(value)
    assert not any(is_invisible(each) for each in shown)
    assert not {unicodedata.category(each) for each in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert shown.isascii() or not value.isascii()
    if not any(map(is_invisible, value)):
        assert shown == value
    assert json.loads(printable_json(json.dumps(value, ensure_ascii=False))) == value


@settings(max_examples=30, deadline=None)
@given(value=text)
def test_pages_show_no_invisible_character(value: str) -> None:
    from edge.pages import _environment

    page = _environment("edge.report").from_string("<p>{{ value }}</p>").render(value=value)
    assert not hidden(page.replace("\t", ""))
