"""``edge-gate bank exchange``: hash lists of other organisations, fetched on a schedule into banks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.bank.edit import mark_note
from edge.cli.bank.options import who
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, stderr, when
from edge.clock import SystemClock
from edge.errors import GateError, InvalidInput
from edge.exchange.definition import (
    SUFFIX,
    Definition,
    exchange_files,
    exchange_path,
    make_definition,
    read_definition,
    write_definition,
)
from edge.exchange.filling import banks_of
from edge.exchange.mirror import mirror_path, read_notes
from edge.exchange.registry import kinds
from edge.exchange.run_status import RunStatus
from edge.exchange.sync import RUN, STATUS, Run, remove_exchange, run_exchange
from edge.match import Bank, BankPurpose, BankSeverity
from edge.match.bank.manifest import read_manifest
from edge.policy import MAX_POLICY_BYTES, parse_policy
from edge.settings_file import read_settings_file

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Fetch hash lists of other organisations into banks of their own. A running gate fetches by itself.",
)
ExchangeArgument = Annotated[Path, typer.Argument(help="The exchange.", metavar="DIR/NAME")]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command("kinds")
@reports_errors
def list_kinds(as_json: JsonOption = False) -> None:
    """List the kinds of exchanges, their options, and what their credentials files hold."""
    rows = [
        {
            "kind": kind.name,
            "summary": kind.summary,
            "credentials": kind.credentials,
            "options": {
                name: {
                    "description": option.description or "",
                    "required": option.is_required(),
                    "default": None if option.is_required() else str(option.default),
                }
                for name, option in kind.options.model_fields.items()
            },
        }
        for kind in kinds().values()
    ]
    if as_json:
        print_json({"kinds": rows})
        return
    print_table(
        ("kind", "what it is", "option", "", ""),
        [
            (row["kind"] if not at else "", row["summary"] if not at else "", *option)
            for row in rows
            for at, option in enumerate(_options(row))
        ],
        "no kinds",
    )


def _options(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    options = [
        (name, option["description"], "required" if option["required"] else option["default"])
        for name, option in row["options"].items()
    ]
    return [*options, ("--credentials", row["credentials"], "")] if row["credentials"] else options


@app.command("add")
@reports_errors
def add(
    exchange: ExchangeArgument,
    kind: Annotated[str, typer.Option("--kind", "-k", help="Its kind: see `bank exchange kinds`.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="What the kind wants to know. Repeat it.", metavar="NAME=VALUE"),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(help="File with the secrets, readable to its owner alone. Read at each run."),
    ] = None,
    every: Annotated[str, typer.Option(help="Pause between two runs: 30s, 15m, 6h, 1d.")] = "15m",
    purpose: Annotated[
        BankPurpose,
        typer.Option(help="The strongest that a match may be. The policy's table chooses within it."),
    ] = BankPurpose.INVESTIGATE,
    severity: Annotated[
        BankSeverity, typer.Option(help="Severity, where the table names none.")
    ] = BankSeverity.HIGH,
    label: Annotated[str, typer.Option(help="Category of the footage.")] = "known_footage",
    as_json: JsonOption = False,
) -> None:
    """Add an exchange. Its footage goes into a bank of the same name, which it alone fills.

    A gate whose folder of banks this is fetches it by itself from now on.
    """
    folder = exchange.parent
    definition = make_definition(
        name=exchange.name.removesuffix(SUFFIX),
        kind=kind,
        options=dict(_option(each) for each in option or ()),
        credentials=None if credentials is None else credentials.absolute(),
        every_s=duration_s(every),
        purpose=purpose,
        severity=severity,
        label=label,
    )
    path = write_definition(folder, definition, new=True)
    if as_json:
        print_json({"exchange": str(path), **definition.model_dump(mode="json")})
    else:
        print_line(f"{path}: fetched every {every} by the gate of these banks")


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput("--option", f"wants NAME=VALUE, got {text!r:.80}")
    return name, value


def duration_s(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdigit() or len(number) > 6:
        raise InvalidInput("--every", f"{text[:40]!r} is none of 30s, 15m, 6h, 1d")
    return int(number) * _UNITS[unit]


@app.command("list")
@reports_errors
def list_exchanges(
    folder: Annotated[Path, typer.Argument(help="The folder of banks.", metavar="DIR")],
    as_json: JsonOption = False,
) -> None:
    """List the exchanges of a folder, and how they went last."""
    rows = [_state_or_problem(path) for path in exchange_files(folder)]
    if as_json:
        print_json({"exchanges": rows})
        return
    print_table(
        ("exchange", "kind", "purpose", "entries", "last good run", "state"),
        [
            (
                row["name"],
                row["kind"],
                row["purpose"],
                sum(bank["entries"] for bank in row["banks"]),
                when(row["done_ms"]),
                row["state"],
            )
            for row in rows
        ],
        "no exchanges",
    )


@app.command("status")
@reports_errors
def status(exchange: ExchangeArgument, as_json: JsonOption = False) -> None:
    """Show an exchange: how its runs went, what it shares, and what of it cannot be used here."""
    row = _state(exchange_path(exchange))
    if as_json:
        print_json(row)
        return
    run = row["last_run"]
    banks = ", ".join(
        f"{bank['name']}: {bank['entries']} ({bank['opinion']}, {bank['severity']})" for bank in row["banks"]
    )
    lines = {
        "kind": row["kind"],
        **row["options"],
        "state": row["state"],
        "last run": when(row["tried_ms"]),
        "last good run": when(row["done_ms"]),
        "next run": when(row["due_ms"] or 0),
        "failures": row["failures"],
        "error": row["error"],
        "banks": banks,
        "what it says": _counted(run.get("opinions", {})),
        "left out": _counted(run.get("left_out", {})),
    }
    print_table(("", row["name"]), list(lines.items()), "")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _state_or_problem(path: Path) -> dict[str, Any]:
    """One wrong file must not hide the others."""
    try:
        return _state(path)
    except GateError as error:
        wrong = {"name": path.stem, "kind": "", "purpose": "", "banks": [], "done_ms": 0}
        return {**wrong, "state": f"unreadable: {error}"}


def _state(path: Path) -> dict[str, Any]:
    """What is known of an exchange, for people and machines."""
    definition, folder = read_definition(path), path.parent
    notes = read_notes(mirror_path(folder, definition.name))
    runs, now_ms = RunStatus.of(notes.get(STATUS)), time.time_ns() // 1_000_000
    banks = [(bank.stem, read_manifest(bank)[0]) for bank in banks_of(folder, definition.name)]
    return {
        **definition.model_dump(mode="json"),
        **runs.as_dict(),
        "state": _word(definition, runs, now_ms),
        "due_ms": runs.due_ms(definition),
        "banks": [
            {
                "name": name,
                "entries": bank.entries,
                "opinion": bank.info.opinion.value,
                "severity": bank.info.severity.value,
                "enabled": bank.info.enabled,
            }
            for name, bank in banks
        ],
        "last_run": notes.get(RUN) or {},
    }


def _word(definition: Definition, runs: RunStatus, now_ms: int) -> str:
    if not definition.enabled:
        return "disabled"
    if runs.failures:
        return f"failing: {runs.error}" if runs.failing() else f"failed: {runs.error}"
    if not runs.tried_ms:
        return "never run"
    return "stale" if runs.stale(definition, now_ms) else "goes on" if runs.unfinished else "up to date"


@app.command("run")
@reports_errors
def run(
    exchange: ExchangeArgument,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="Policy whose table `exchanges` applies (default: that of the last run).", metavar="FILE"
        ),
    ] = None,
    minutes: Annotated[
        int, typer.Option(min=1, max=1440, help="Minutes after which it ends with what it has.")
    ] = 30,
    as_json: JsonOption = False,
) -> None:
    """Fetch what has changed at an exchange, now. An interrupted run goes on where it was."""
    definition = read_definition(exchange)
    table = None if policy is None else parse_policy(read_settings_file(policy, MAX_POLICY_BYTES)).exchanges
    with stderr.status(f"{definition.name}: fetching") as shown:

        def progress(done: Run) -> None:
            shown.update(f"{definition.name}: {done.fetched} changes on {done.pages} pages")

        done = run_exchange(
            exchange.parent,
            definition,
            SystemClock(),
            table=table,
            longest_ms=minutes * 60_000.0,
            progress=progress,
        )
    if as_json:
        print_json({"exchange": definition.name, **done.as_dict()})
        return
    print_line(
        f"{definition.name}: {done.fetched} changes fetched; {done.updated.added} entries added, "
        f"{done.updated.replaced} replaced, {done.updated.removed} removed"
    )
    for name, count in done.left_out.items():
        print_line(f"left out: {count} {name}")
    if done.unfinished:
        print_line("there is more; the next run goes on")


@app.command("disable")
@reports_errors
def disable(
    exchange: ExchangeArgument,
    banks: Annotated[
        bool, typer.Option("--banks", help="Switch its banks off, too: nothing of it matches.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch an exchange no more. With --banks, all that came from it matches nothing from now on."""
    _switch(exchange, False, banks, as_json)


@app.command("enable")
@reports_errors
def enable(
    exchange: ExchangeArgument,
    banks: Annotated[bool, typer.Option("--banks", help="Switch its banks on, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch an exchange again."""
    _switch(exchange, True, banks, as_json)


def _switch(exchange: Path, on: bool, banks: bool, as_json: bool) -> None:
    definition = read_definition(exchange).model_copy(update={"enabled": on})
    write_definition(exchange.parent, definition)
    switched = []
    for path in banks_of(exchange.parent, definition.name) if banks else ():
        bank = Bank.open(path, verify=False)
        bank.change(bank.info.model_copy(update={"enabled": on}), mark_note("", ""))
        switched.append(bank.name)
    if as_json:
        print_json({"exchange": definition.name, "enabled": on, "banks": switched})
    else:
        print_line(
            f"{definition.name}: {'on' if on else 'off'}{''.join(f', bank {name} too' for name in switched)}"
        )


@app.command("remove")
@reports_errors
def remove(
    exchange: ExchangeArgument,
    keep_entries: Annotated[
        bool, typer.Option("--keep-entries", help="Leave its banks as they are.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove an exchange and withdraw its entries. Its banks stay, empty.

    `bank accept --help` says how to delete a bank.
    """
    definition = read_definition(exchange)
    removed = remove_exchange(exchange.parent, definition, keep_entries=keep_entries, by=who(""))
    if as_json:
        print_json({"exchange": definition.name, "removed": removed})
    else:
        print_line(f"{definition.name}: removed, and {removed} entries with it")
