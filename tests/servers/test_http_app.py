"""The app around the hooks: its answers for unconfigured kinds and for its own health."""

from __future__ import annotations

import httpx
import pytest

from edge.servers.http_app import create_app
from edge.servers.kind import AnyKind
from edge.servers.registry import kinds


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app([])), base_url="http://gate")


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: str(kind.name))
async def test_a_kind_that_is_not_configured_names_its_section(kind: AnyKind) -> None:
    async with client() as http:
        for path in (f"/hooks/{kind.name}", f"/hooks/{kind.name}/on_publish"):
            response = await http.post(path, content="app=live")
            assert response.status_code == 404
            assert response.text == f"{kind.name} is not configured: [{kind.section}] in the settings\n"


async def test_health_says_what_is_not_as_it_should_be() -> None:
    app = create_app([], health=lambda: ["not contained: worker: landlock: switched off"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gate") as http:
        answer = await http.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\nnot contained: worker: landlock: switched off\n")


async def test_readiness_fails_and_says_why() -> None:
    why: list[str] = []
    app = create_app([], unready=lambda: why)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gate") as http:
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.text) == (200, "ready\n")
        why.append("task: Gate._sweep is down")
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "task: Gate._sweep is down\n")


async def test_who_may_not_know_learns_only_whether_it_is_up_and_ready() -> None:
    why = ["task: Gate._sweep is down", "alarm: banks: /srv/banks/known.bank"]
    app = create_app([], health=lambda: why, unready=lambda: why, may_know=lambda request: False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gate") as http:
        health, ready = await http.get("/healthz"), await http.get("/readyz")
    assert (health.status_code, health.text) == (200, "ok\n")
    assert (ready.status_code, ready.text) == (503, "not ready\n")


async def test_health_and_unknown_paths() -> None:
    async with client() as http:
        assert (await http.get("/healthz")).text == "ok\n"
        assert "configured" not in (await http.post("/hooks/no-such-server")).text
