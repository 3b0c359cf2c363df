"""How commands read a ledger without a gate: where it is, and from when to when."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.block import parse_duration_ms
from edge.errors import InvalidInput

LedgerOption = Annotated[
    str | None, typer.Option("--ledger", help="SQLAlchemy URL of the ledger; wins over the settings.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings of the gate, TOML: they name the ledger.")
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="The gate's DATA_DIR, where its SQLite ledger is.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="2026-01-31, 2026-01-31T18:00 (UTC), or 30d, 12h before now.")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="The same; not included. Default: now.")]


def ledger_of(ledger: str | None, config: Path | None, data_dir: Path | None) -> str:
    """The URL that the gate itself would use. Raises ConfigError."""
    from edge.config import load_settings

    overrides: dict[str, Any] = {}
    if ledger is not None:
        overrides["ledger_url"] = ledger
    if data_dir is not None:
        overrides["data_dir"] = data_dir
    return load_settings(config, overrides).ledger


def parse_when(field: str, text: str | None, now_ms: int) -> int | None:
    """A moment as wall milliseconds; None for None. Raises InvalidInput that names ``field``."""
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
