"""``edge-gate bank follow`` and ``bank peer``: banks that other companies' gates share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.bank.edit import mark_note
from edge.cli.bank.exchange import duration_s
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors
from edge.errors import NotFound
from edge.exchange.definition import (
    Definition,
    exchange_files,
    make_definition,
    read_definition,
    write_definition,
)
from edge.exchange.filling import banks_of
from edge.exchange.other_gate import KIND, OtherGateOptions
from edge.match import Bank, BankPurpose, BankSeverity

peer_app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Other companies whose banks are followed: list them, and switch off all that came by one of them.",
)
FolderArgument = Annotated[Path, typer.Argument(help="The folder of banks.", metavar="DIR")]
PeerArgument = Annotated[
    str, typer.Argument(help="Its gate, as `bank peer list` shows it.", metavar="HOST:PORT")
]
ReasonOption = Annotated[str, typer.Option(help="Why, kept beside the banks.")]


@reports_errors
def follow(
    url: Annotated[str, typer.Argument(help="The bank at the other gate.", metavar="gate://HOST:PORT/BANK")],
    into: Annotated[Path, typer.Option("--into", help="A bank of its own here.", metavar="DIR/NAME")],
    cert: Annotated[Path, typer.Option(help="Certificate chain by which the other side knows this one.")],
    key: Annotated[Path, typer.Option(help="Its private key.")],
    ca: Annotated[Path, typer.Option(help="Certificate authority of the other side.")],
    purpose: Annotated[
        BankPurpose,
        typer.Option(help="The strongest that a match may be: violating (cut), investigate (flag) or count."),
    ] = BankPurpose.INVESTIGATE,
    every: Annotated[str, typer.Option(help="Pause between two looks: 30s, 15m, 6h, 1d.")] = "1m",
    severity: Annotated[BankSeverity, typer.Option(help="Severity of its footage here.")] = BankSeverity.HIGH,
    label: Annotated[str, typer.Option(help="Category of its footage here.")] = "known_footage",
    categories: Annotated[
        str, typer.Option(help="Categories that are taken over from the other side, with commas.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Follow a bank that another company shares, into a bank of its own.

    A gate whose folder of banks this is fetches what is new by itself from now on. `bank exchange status`
    shows how that goes, and `bank exchange run` fetches now. The other company has to name this certificate
    among its peers.
    """
    definition = make_definition(
        name=into.name,
        kind=KIND.name,
        options={
            "url": url,
            "cert": str(cert.absolute()),
            "key": str(key.absolute()),
            "ca": str(ca.absolute()),
            **({"categories": categories} if categories else {}),
        },
        every_s=duration_s(every),
        purpose=purpose,
        severity=severity,
        label=label,
    )
    path = write_definition(into.parent, definition, new=True)
    if as_json:
        print_json({"exchange": str(path), **definition.model_dump(mode="json")})
    else:
        print_line(f"{path}: {url} is looked at every {every}, and a match may at most {_MEANS[purpose]}")


_MEANS = {
    BankPurpose.VIOLATING: "cut",
    BankPurpose.INVESTIGATE: "flag",
    BankPurpose.COUNT: "be counted",
    BankPurpose.BENIGN: "keep others from matching",
}


@peer_app.command("list")
@reports_errors
def list_peers(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """List the gates whose banks are followed, and the banks here that they fill."""
    rows = [
        {
            "peer": peer,
            "bank": bank.name,
            "from": one.options["url"],
            "entries": bank.manifest.entries,
            "opinion": bank.info.opinion.value,
            "enabled": bank.info.enabled,
            "fetched": one.enabled,
        }
        for peer, one in _followed(folder)
        for bank in _banks(folder, one)
    ]
    if as_json:
        print_json({"banks": rows})
        return
    print_table(
        ("peer", "bank", "from", "entries", "opinion", "state"),
        [
            (r["peer"], r["bank"], r["from"], r["entries"], r["opinion"], "" if r["enabled"] else "off")
            for r in rows
        ],
        "no banks of other gates",
    )


@peer_app.command("off")
@reports_errors
def off(
    folder: FolderArgument, peer: PeerArgument, reason: ReasonOption, as_json: JsonOption = False
) -> None:
    """Switch off all that came by one gate: nothing of it matches, and nothing more is fetched."""
    _switch(folder, peer, False, reason, as_json)


@peer_app.command("on")
@reports_errors
def on(folder: FolderArgument, peer: PeerArgument, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Switch all that came by one gate on again."""
    _switch(folder, peer, True, reason, as_json)


def _switch(folder: Path, peer: str, enabled: bool, reason: str, as_json: bool) -> None:
    found = [one for place, one in _followed(folder) if place == peer]
    if not found:
        raise NotFound("followed gate", peer)
    note = mark_note(reason, "")
    switched = []
    for definition in found:
        write_definition(folder, definition.model_copy(update={"enabled": enabled}))
        for bank in _banks(folder, definition):
            bank.change(bank.info.model_copy(update={"enabled": enabled}), note)
            switched.append(bank.name)
    if as_json:
        print_json({"peer": peer, "enabled": enabled, "banks": switched})
    else:
        print_line(f"{peer}: {'on' if enabled else 'off'}, banks {', '.join(switched) or 'none'}")


def _followed(folder: Path) -> list[tuple[str, Definition]]:
    """Each exchange with another gate, and that gate."""
    definitions = [read_definition(path) for path in exchange_files(folder)]
    return [
        (options.place, one)
        for one in definitions
        if one.kind == KIND.name and isinstance(options := one.kind_options(), OtherGateOptions)
    ]


def _banks(folder: Path, definition: Definition) -> list[Bank]:
    return [Bank.open(path, verify=False) for path in banks_of(folder, definition.name)]
