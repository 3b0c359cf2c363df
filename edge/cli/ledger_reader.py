"""Reads a ledger without a gate: its address and the period."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge.cli.block import parse_duration_ms
from edge.cli.output import stderr
from edge.errors import InvalidInput

LedgerOption = Annotated[
    str | None, typer.Option("--ledger", help="SQLAlchemy URL of the ledger. Overrides the settings.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The gate's settings, TOML. They name the ledger.")
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="The gate's DATA_DIR with its SQLite ledger.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="2026-01-31, 2026-01-31T18:00 (UTC), or 30d, 12h before now.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="End of the period, excluded, in the same form. Default: now.")
]


def ledger_of(ledger: str | None, config: Path | None, data_dir: Path | None) -> str | Path:
    """Returns the ledger URL or file that the gate would use. Raises ConfigError."""
    from edge.config import load_settings

    overrides: dict[str, Any] = {}
    if ledger is not None:
        overrides["ledger_url"] = ledger
    if data_dir is not None:
        overrides["data_dir"] = data_dir
    return load_settings(config, overrides).ledger


def parse_when(field: str, text: str | None, now_ms: int) -> int | None:
    """Parses a moment to wall milliseconds; None stays None. Raises InvalidInput that names ``field``."""
    if text is None:
        return None
    if text[-1:] in {"s", "m", "h", "d"} and text[:-1].isdigit():
        return now_ms - parse_duration_ms(text)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            field, f"{text[:64]!r} is no date such as 2026-01-31, and no time before now such as 30d"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return int(moment.timestamp() * 1000)


@contextlib.contextmanager
def reading(quiet: bool, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar on a terminal. Call the yielded function with the number of further rows."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=quiet or not stderr.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
