"""``edge-gate webhook``: tests the webhook receiver and makes secrets."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import typer

from edge.cli.ledger_reader import ConfigOption
from edge.cli.output import JsonOption, print_json, print_line, reports_errors
from edge.domain import new_id
from edge.errors import ConfigError, NotDelivered

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Signed events to the platform (Standard Webhooks). Settings: webhook.url, webhook.secret.",
)


@app.command("test")
@reports_errors
def send_ping(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Send one signed `ping` to the configured receiver. Exit with 1 when it refuses."""
    from edge.config import load_settings
    from edge.webhook.endpoint import Attempt, Endpoint
    from edge.webhook.events import ping
    from edge.webhook.signing import key_of

    settings = load_settings(config).webhook
    if not settings.url:
        raise ConfigError("webhook.url: is not set; --config names the settings")

    async def send() -> tuple[str, Attempt]:
        receiver = Endpoint(
            settings.url,
            [key_of(secret.get_secret_value()) for secret in settings.secrets],
            timeout_ms=settings.timeout_ms,
            ca=settings.ca,
            public_only=settings.public_only,
        )
        event = ping(new_id("evt"), time.time_ns() // 1_000_000)
        try:
            return event.id, await receiver.send(event)
        finally:
            await receiver.aclose()

    ident, attempt = asyncio.run(send())
    if not attempt.delivered:
        raise NotDelivered(f"{settings.url}: {attempt.problem}")
    if as_json:
        print_json({"id": ident, "url": settings.url, "delivered": True, **_of(attempt)})
    else:
        print_line(f"{settings.url}: {attempt.status} in {attempt.elapsed_ms:.0f} ms ({ident})")


def _of(attempt: Any) -> dict[str, Any]:
    values = dataclasses.asdict(attempt)
    return {"status": values["status"], "elapsed_ms": round(values["elapsed_ms"], 1)}


@app.command()
@reports_errors
def secret(as_json: JsonOption = False) -> None:
    """Print a new signing secret. To rotate, set it as `secret` and the old one as `previous_secret`."""
    from edge.webhook.signing import new_secret

    made = new_secret()
    if as_json:
        print_json({"secret": made})
    else:
        print_line(made)


@app.command("events")
@reports_errors
def list_events(as_json: JsonOption = False) -> None:
    """List the event types for `webhook.events`."""
    from edge.webhook.events import TYPES

    if as_json:
        print_json(list(TYPES))
    else:
        typer.echo("\n".join(TYPES))
