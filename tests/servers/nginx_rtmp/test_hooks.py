"""The hooks of nginx-rtmp over HTTP, called by nginx and by others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from edge.errors import CapacityExceeded, GateError, WorkerLost
from edge.notices.notice import notice
from edge.reasons import AdmissionReason
from edge.servers.doubles import GatekeeperDouble
from edge.servers.gatekeeper import Admission
from edge.servers.http_app import create_app
from edge.servers.nginx_rtmp.connector import NginxRtmpConnector
from edge.servers.nginx_rtmp.hooks import NginxRtmpHooks
from edge.servers.nginx_rtmp.settings import NginxRtmpSection

PUBLISH = "app=live&addr=127.0.0.1&clientid=2&call=publish&name=show&type=live&user=u42"
DONE = "app=live&addr=127.0.0.1&clientid=2&call=publish_done&name=show&user=u42"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ON_PUBLISH = "/hooks/nginx-rtmp/on_publish"
ON_DONE = "/hooks/nginx-rtmp/on_publish_done"
AWAY = "http://127.0.0.1:9/stat"


def client(gate: GatekeeperDouble, secret: str | None = None) -> httpx.AsyncClient:
    section = NginxRtmpSection(trust_broadcaster=True, stat_url=AWAY, pull_wait_ms=0)
    hooks = NginxRtmpHooks(gate, NginxRtmpConnector(section), section, secret)
    transport = httpx.ASGITransport(create_app([hooks]))
    return httpx.AsyncClient(transport=transport, base_url="http://gate", headers=FORM)


@pytest.fixture
async def http(gate: GatekeeperDouble) -> AsyncIterator[httpx.AsyncClient]:
    async with client(gate) as http:
        yield http


async def test_admitted_and_pulled_before_the_answer(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    response = await http.post(ON_PUBLISH, content=PUBLISH)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["connection"] == "close"
    assert gate.seen == ["admit u42", "attach st1 rtmp://127.0.0.1:1935/live/show"]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("blocked", 403),
        ("ledger_down", 403),
        ("capacity", 503),
        ("already_live", 503),
        ("paused", 503),
        ("draining", 503),
    ],
)
async def test_refused_with_the_notice_in_both_languages(
    gate: GatekeeperDouble, http: httpx.AsyncClient, reason: str, status: int
) -> None:
    said = notice(reason)
    gate.answer = Admission(False, None, AdmissionReason(reason), notice=said)
    response = await http.post(ON_PUBLISH, content=PUBLISH)
    assert response.status_code == status
    assert response.text == f"{said.en}\n{said.ar}\n"
    assert gate.seen == ["admit u42"]
    assert not gate.turned  # The gate has reported its refusal.


@pytest.mark.parametrize("failure", [CapacityExceeded("full"), WorkerLost("died")])
async def test_a_stream_that_cannot_be_watched_is_refused_and_forgotten(
    gate: GatekeeperDouble, http: httpx.AsyncClient, failure: GateError
) -> None:
    gate.failure = failure
    response = await http.post(ON_PUBLISH, content=PUBLISH)
    assert response.status_code == 503
    assert notice("capacity").ar in response.text
    assert gate.turned == [("u42", failure.reason)]
    assert gate.seen[-1] == "ended nginx-rtmp 2 live/show"


async def test_a_block_while_the_publish_waits_refuses_it(
    gate: GatekeeperDouble, http: httpx.AsyncClient
) -> None:
    gate.admitted = False
    response = await http.post(ON_PUBLISH, content=PUBLISH)
    assert response.status_code == 403
    assert gate.seen[-1] == "ended nginx-rtmp 2 live/show"
    assert gate.turned == [("u42", "cut")]


async def test_two_publishes_of_one_connection_at_once_are_both_refused(
    gate: GatekeeperDouble, http: httpx.AsyncClient
) -> None:
    gate.attached = asyncio.Event()
    first = asyncio.create_task(http.post(ON_PUBLISH, content=PUBLISH))
    await gate.attaching.wait()
    second = await http.post(ON_PUBLISH, content=PUBLISH.replace("name=show", "name=other"))
    assert second.status_code == 403
    assert "clientid" in second.text
    gate.attached.set()
    assert (await first).status_code == 403
    assert gate.turned == [("u42", "second_publish"), ("u42", "cut")]
    assert gate.seen == [
        "admit u42",
        "attach st1 rtmp://127.0.0.1:1935/live/show",
        "ended nginx-rtmp 2 live/show",
    ]


async def test_a_publisher_that_leaves_before_its_answer_is_not_kept(
    gate: GatekeeperDouble, http: httpx.AsyncClient
) -> None:
    gate.attached = asyncio.Event()
    publish = asyncio.create_task(http.post(ON_PUBLISH, content=PUBLISH))
    await gate.attaching.wait()
    assert (await http.post(ON_DONE, content=DONE)).status_code == 200
    gate.attached.set()
    assert (await publish).status_code == 403
    assert gate.seen[-1] == "ended nginx-rtmp 2 live/show"
    again = await http.post(ON_PUBLISH, content=PUBLISH)
    assert again.status_code == 200


async def test_publish_done(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    response = await http.post(ON_DONE, content=DONE)
    assert (response.status_code, response.content) == (200, b"")
    assert gate.seen == ["ended nginx-rtmp 2 live/show"]


@pytest.mark.parametrize("path", [ON_PUBLISH, ON_DONE])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 401),
        ("?secret=", 401),
        ("?secret=wrong", 401),
        ("?secret=%C3%A4", 401),
        ("?secret=s3cr%26t", 400),
    ],
)
async def test_secret(gate: GatekeeperDouble, path: str, query: str, status: int) -> None:
    async with client(gate, "s3cr&t") as http:
        response = await http.post(path + query, content="call=nonsense")
    assert response.status_code == status
    assert not gate.seen


@pytest.mark.parametrize("path", [ON_PUBLISH, ON_DONE])
@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ("", 400, "call"),
        ("call=play", 400, "call"),
        ("a" * 9000, 413, "8192 bytes"),
        ("a&" * 100, 413, "64 fields"),
    ],
)
async def test_bad_bodies_are_refused_by_name(
    gate: GatekeeperDouble, http: httpx.AsyncClient, path: str, body: str, status: int, word: str
) -> None:
    response = await http.post(path, content=body)
    assert response.status_code == status
    assert word in response.text
    assert not gate.seen


async def test_a_body_without_end_is_not_read_to_its_end(
    gate: GatekeeperDouble, http: httpx.AsyncClient
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            assert sent < 100
            yield b"a" * 1024

    response = await http.post(ON_PUBLISH, content=endless())
    assert response.status_code == 413


async def test_only_forms(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    response = await http.post(ON_PUBLISH, content="{}", headers={"Content-Type": "application/json"})
    assert response.status_code == 415
    assert (await http.get(ON_PUBLISH)).status_code == 405
    assert not gate.seen
