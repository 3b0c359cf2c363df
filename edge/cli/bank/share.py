"""``edge-gate bank share``: serves a bank to other companies without a gate."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.output import JsonOption, print_json, print_line, reports_errors
from edge.errors import BankError, ConfigError

if TYPE_CHECKING:
    from edge.config import Settings

_LOOK_S = 2.0


@reports_errors
def share(
    bank: Annotated[str, typer.Argument(help="Name of the bank.", metavar="NAME")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="TOML settings with `[share]` and the folder of banks."),
    ] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; wins over the file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a bank to the peers of `[share]` that may have it, over mutual TLS, until Ctrl-C.

    Only hashes leave: no media, no notes, no sources, no names. A running gate with `share.listen` serves all
    banks of its peers by itself; this is for a machine that has none. What each peer takes is in the log.
    """
    from edge.config import load_settings
    from edge.telemetry.logs import configure_logging

    settings = load_settings(config, {"share": {"listen": listen}} if listen is not None else None)
    if settings.share.listen is None:
        raise ConfigError("share.listen: set HOST:PORT, or use --listen")
    peers = [name for name, peer in settings.share.peers.items() if bank in peer.banks]
    if not peers:
        raise ConfigError(f"share.peers: no peer may have {bank!r}; add it to the `banks` of one")
    configure_logging(settings.log_level)

    def announce(address: str, entries: int) -> None:
        if as_json:
            print_json({"event": "ready", "share": address, "bank": bank, "entries": entries, "peers": peers})
        else:
            print_line(f"{bank}: {entries} entries for {', '.join(peers)} on {address}")

    asyncio.run(_serve(settings, bank, announce))


async def _serve(settings: Settings, bank: str, announce: Callable[[str, int], None]) -> None:
    from edge.api.share_server import ShareServer, ShareServicer
    from edge.clock import SystemClock
    from edge.match.bank.bank_set import stamp_of
    from edge.sharing.share_index import follow_banks
    from edge.telemetry.log_lines import LogBackend
    from edge.telemetry.telemetry import Telemetry

    peers = {
        name: peer.model_copy(update={"banks": (bank,)})
        for name, peer in settings.share.peers.items()
        if bank in peer.banks
    }
    section = settings.share.model_copy(update={"peers": peers})
    telemetry = Telemetry(LogBackend())

    async def recorded(*_: object) -> None:
        """The log has it."""

    async def index() -> int:
        found = await asyncio.to_thread(follow_banks, settings.banks, settings.share_logs, {bank: []})
        if problem := found[bank]["problem"]:
            raise BankError(str(problem))
        return int(str(found[bank]["entries"]))

    stamp = stamp_of(settings.banks)
    entries = await index()
    servicer = ShareServicer(settings.share_logs, lambda: section, SystemClock(), telemetry.report, recorded)
    server = ShareServer(section, servicer)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    try:
        announce(server.address, entries)
        while not stop.is_set():
            if (now := stamp_of(settings.banks)) != stamp:
                stamp = now
                await index()
            try:
                await asyncio.wait_for(stop.wait(), _LOOK_S)
            except TimeoutError:
                continue
    finally:
        await server.stop(1.0)
