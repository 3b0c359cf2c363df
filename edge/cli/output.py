"""Output of every command: tables for people, ``--json`` for machines."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.domain import PERMANENT_MS
from edge.errors import GateError, InvalidInput
from edge.printable import printable, printable_json

P = ParamSpec("P")
R = TypeVar("R")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

_PIPE_COLUMNS = 240
_UNEXPECTED_CHARACTERS = 400


class PlainConsole(Console):
    """Shows each string as one line: no markup, no emoji codes, what is invisible as escapes.

    Everything that the commands print may hold a name, a label or a path that somebody else chose. What is
    to have a style is a ``Text``, or names the style in ``print``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        options |= {"markup": False, "emoji": False}
        return super().render_str(printable(text), **options)


console = PlainConsole()
stderr = PlainConsole(stderr=True)


def print_json(value: Any) -> None:
    """Prints one JSON document on one line."""
    document = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    sys.stdout.write(printable_json(document) + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    """Prints one line to stdout, whatever the values in it hold."""
    typer.echo(printable(text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Prints a plain table, or one line when there are no rows.

    The table is as wide as the terminal. In a pipe it is wide enough for whole ids.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
        count += 1
    if count:
        (console if console.is_terminal else PlainConsole(width=_PIPE_COLUMNS)).print(table)
    else:
        console.print(empty)


def print_error(error: GateError | OSError) -> None:
    """Prints one line for people."""
    stderr.print(Text.assemble(("error:", "red"), f" {printable(_text(error))}"), soft_wrap=True)


def print_warning(text: str) -> None:
    """Prints one line to stderr, which ends nothing."""
    stderr.print(Text.assemble(("warning:", "yellow"), f" {printable(text)}"), soft_wrap=True)


def _text(error: GateError | OSError) -> str:
    """Formats an error. System errors lose their number and gain the file that they name."""
    if isinstance(error, GateError):
        return str(error)
    problem = error.strerror or str(error) or type(error).__name__
    return problem if error.filename is None else f"{error.filename}: {problem}"


def when(wall_ms: int) -> str:
    """Formats a wall time for people: UTC to the second, empty for 0."""
    if not wall_ms:
        return ""
    if wall_ms >= PERMANENT_MS:
        return "permanent"
    return datetime.datetime.fromtimestamp(wall_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Ends a command on a GateError or a system error with one line, or one JSON document.

    The exit code is the error's own: 1 but for few.

    System errors are those such as a full disk or a folder that cannot be written.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:
            raise  # The reader has closed the pipe, as `| head` does. Typer ends silently.
        except (GateError, OSError) as error:
            _report(error, bool(kwargs.get("as_json")))
            raise typer.Exit(error.exit_code if isinstance(error, GateError) else 1) from None
        except UnicodeEncodeError as error:  # An argument of other bytes reaches a message or an address.
            _report(
                InvalidInput("argument", f"{error.object!r} is no UTF-8 text"), bool(kwargs.get("as_json"))
            )
            raise typer.Exit(1) from None

    return wrapped


def report_unexpected(error: Exception, more: str, as_json: bool) -> None:
    """Reports a fault of the program itself. ``more`` says how to learn more."""
    said = f"unexpected {type(error).__name__}: {error}"
    _report(GateError(f"{said[:_UNEXPECTED_CHARACTERS]}; this is a fault of edge-gate, {more}"), as_json)


def _report(error: GateError | OSError, as_json: bool) -> None:
    if as_json:
        reason = error.reason if isinstance(error, GateError) else "system"
        with contextlib.suppress(OSError):  # Stdout itself cannot be written.
            return print_json({"error": _text(error), "reason": reason})
    print_error(error)
