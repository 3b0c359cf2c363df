"""Shared parts of the bank commands: options, progress, and opening or making a bank."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from edge.cli.output import print_line, stderr
from edge.errors import NotFound
from edge.match import Bank, BankPurpose, BankSeverity, bank_info

BankArgument = Annotated[Path, typer.Argument(help="The bank.", metavar="DIR/NAME")]
BankOption = Annotated[Path, typer.Option("--bank", "-b", help="The bank.", metavar="DIR/NAME")]
LabelOption = Annotated[str, typer.Option(help="Category of this footage (default: the bank's).")]
SeverityOption = Annotated[
    BankSeverity | None, typer.Option(help="Severity of a bank that this call makes (default: high).")
]
OpinionOption = Annotated[
    BankPurpose | None, typer.Option(help="Purpose of a bank that this call makes (default: violating).")
]
ByOption = Annotated[str, typer.Option(help="Who does it (default: your login name).")]


def who(by: str) -> str:
    """Returns who runs the command, for the record: as they say, or by their login name."""
    return by[:128] or _login()


def _login() -> str:
    try:
        return getpass.getuser()[:128]
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())


@contextmanager
def open_or_create(
    path: Path, label: str, severity: BankSeverity | None, opinion: BankPurpose | None
) -> Iterator[Bank]:
    """Yields the bank. A bank made for a change that fails is removed again."""
    try:
        yield Bank.open(path)
        return
    except NotFound as error:
        if error.kind != "bank":
            raise
    said = {"label": label or None, "severity": severity, "opinion": opinion}
    bank = Bank.create(path, bank_info(**{k: v for k, v in said.items() if v is not None}))
    try:
        yield bank
    except BaseException:
        bank.path.unlink()
        raise


@contextmanager
def progress(as_json: bool) -> Iterator[Progress]:
    """Shows a bar on stderr. It is silent with --json and without a terminal."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=stderr,
        disable=as_json or not stderr.is_terminal,
        transient=True,
    ) as bar:
        yield bar


def advance(bar: Progress, task: TaskID, done_s: float, length_s: float) -> None:
    bar.update(task, completed=done_s, total=length_s or None)


def say_size(bank: Bank) -> None:
    print_line(f"{bank.path}: {bank.manifest.entries} entries, {bank.manifest.hashes} hashes")
