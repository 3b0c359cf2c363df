"""``edge-gate bank``: manages the banks of known footage that live streams are matched against."""

from __future__ import annotations

import typer

from edge.cli.bank.add import add, import_
from edge.cli.bank.edit import MARKS, accept, compact, marking, set_
from edge.cli.bank.exchange import app as exchange
from edge.cli.bank.explain import explain
from edge.cli.bank.follow import follow, peer_app
from edge.cli.bank.list import export, list_, verify
from edge.cli.bank.match import match
from edge.cli.bank.served import app as served
from edge.cli.bank.share import share

app = typer.Typer(
    rich_markup_mode="markdown",
    name="bank",
    help="Make, fill, check and export the banks of known footage that live streams are matched against.",
    no_args_is_help=True,
)
app.command("add")(add)
app.command("import")(import_)
app.command("list")(list_)
app.command("export")(export)
app.command("match")(match)
app.command("explain")(explain)
app.command("verify")(verify)
for _name, _mark in MARKS.items():
    app.command(_name, help=_mark.help)(marking(_mark))
app.command("set")(set_)
app.command("accept")(accept)
app.command("compact")(compact)
app.command("follow")(follow)
app.command("share")(share)
app.add_typer(peer_app, name="peer")
app.add_typer(served, name="served")
app.add_typer(exchange, name="exchange")
