"""A signed-in browser of tests: it keeps cookies, follows redirects and sends forms with their token."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from starlette.applications import Starlette

from edge.api.auth import TokenFile
from edge.clock import Clock
from edge.config import ConsoleSection, Settings
from edge.console.routes import console_mount
from tests.supervise.gate_without_workers import Bench, gate_without_workers

ORIGIN = "http://127.0.0.1:8085"
TOKENS = {role: f"{role}-token-of-a-test" for role in ("ingest", "viewer", "platform", "reviewer", "admin")}


class Browser:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def sign_in(self, role: str) -> httpx.Response:
        form = {"token": TOKENS[role], "next": "/console/queue"}
        return await self.client.post("/console/sign-in", data=form, headers={"origin": ORIGIN})

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(f"/console{path}", headers=headers)

    async def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', (await self.get("/view")).text)
        assert found
        return found[1]

    async def post(self, path: str, origin: str = ORIGIN, **form: str) -> httpx.Response:
        form = {"csrf": await self.csrf(), **form}
        return await self.client.post(f"/console{path}", data=form, headers={"origin": origin})


def app_of(bench: Bench, folder: Path, section: ConsoleSection | None = None) -> Starlette:
    path = folder / "tokens"
    if not path.exists():
        path.write_text("".join(f"{role} {role}-name {token}\n" for role, token in TOKENS.items()))
        path.chmod(0o600)
    settings = Settings(data_dir=folder, console=section or ConsoleSection())
    return Starlette(routes=[console_mount(settings, bench.gate, TokenFile(path))])


@asynccontextmanager
async def browsing(app: Starlette, origin: str = ORIGIN) -> AsyncIterator[Browser]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=origin) as client:
        yield Browser(client)


@asynccontextmanager
async def console(
    folder: Path, role: str = "reviewer", section: ConsoleSection | None = None, clock: Clock | None = None
) -> AsyncIterator[tuple[Bench, Browser]]:
    """A gate without workers, and a browser in which that role is signed in."""
    async with (
        gate_without_workers(folder, clock=clock) as bench,
        browsing(app_of(bench, folder, section)) as browser,
    ):
        await browser.sign_in(role)
        yield bench, browser


async def flagged(bench: Bench, name: str = "show", broadcaster: str = "anna") -> str:
    """A stream is live and gets a FLAG. Returns the id of its incident."""
    from edge.domain import Action

    stream_id = await bench.watched(f"connection of {name}", name, broadcaster)
    bench.judged(stream_id, Action.FLAG)
    await bench.until(lambda: bench.gate.ledger.incidents(broadcaster=broadcaster))
    return bench.gate.ledger.incidents(broadcaster=broadcaster)[0].id
