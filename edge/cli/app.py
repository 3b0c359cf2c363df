"""All commands together."""

from __future__ import annotations

from typing import Annotated

import typer

from edge import __version__
from edge.cli import appeal, audit, bank, block, incident, ingest, model, policy, strike, webhook
from edge.cli.check_config import check_config
from edge.cli.demo import demo
from edge.cli.replay import replay
from edge.cli.report import report
from edge.cli.serve import serve
from edge.cli.tune import tune

app = typer.Typer(
    rich_markup_mode="markdown",
    name="edge-gate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="The gate beside live-stream ingest: admits, watches, blocks and cuts in a fixed latency budget.",
    epilog="Start with `edge-gate demo`. Every command has --help and --json.",
)
app.command()(serve)
app.command()(demo)
app.command()(replay)
app.command()(tune)
app.command()(report)
app.add_typer(ingest.app, name="ingest")
app.add_typer(bank.app, name="bank")
app.add_typer(incident.app, name="incident")
app.add_typer(appeal.app, name="appeal")
app.add_typer(strike.app, name="strike")
app.add_typer(block.app, name="block")
app.add_typer(model.app, name="model")
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")
app.add_typer(webhook.app, name="webhook")
app.command("check-config")(check_config)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge-gate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version
