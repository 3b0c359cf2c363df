"""The hooks over HTTP, as nginx and as others call them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from edge.domain import Publish, StreamId
from edge.errors import CapacityExceeded, GateError, WorkerLost
from edge.notices.notice import notice
from edge.reasons import AdmissionReason
from edge.servers.gatekeeper import Admission
from edge.servers.http_app import create_app
from edge.servers.nginx_rtmp.hook_settings import HookSettings

PUBLISH = "app=live&addr=127.0.0.1&clientid=2&call=publish&name=show&type=live&user=u42"
DONE = "app=live&addr=127.0.0.1&clientid=2&call=publish_done&name=show&user=u42"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ON_PUBLISH = "/hooks/nginx-rtmp/on_publish"
ON_DONE = "/hooks/nginx-rtmp/on_publish_done"
AWAY = "http://127.0.0.1:9/stat"


@dataclass
class Gate:
    answer: Admission = field(
        default_factory=lambda: Admission(True, StreamId("st1"), AdmissionReason.ADMITTED)
    )
    failure: GateError | None = None
    cut_meanwhile: bool = False
    attaching: asyncio.Event = field(default_factory=asyncio.Event)
    attached: asyncio.Event | None = None
    """Set: the pull starts only with it."""
    seen: list[str] = field(default_factory=list)
    turned: list[tuple[str, str]] = field(default_factory=list)
    """Broadcaster and reason of what the hooks have refused by themselves."""

    async def admit(self, publish: Publish) -> Admission:
        self.seen.append(f"admit {publish.broadcaster}")
        return self.answer

    def turned_away(self, publish: Publish, reason: str, detail: str = "") -> None:
        self.turned.append((publish.broadcaster, reason))

    async def attach(self, stream_id: StreamId, url: str) -> None:
        self.seen.append(f"attach {stream_id} {url}")
        self.attaching.set()
        if self.attached is not None:
            await self.attached.wait()
        if self.failure is not None:
            raise self.failure

    async def pull_anew(self, stream_id: StreamId) -> bool:
        return False

    async def is_watched(self, stream_id: StreamId) -> bool:
        return False

    async def still_admitted(self, stream_id: StreamId) -> bool:
        return not self.cut_meanwhile

    async def publish_ended(self, server: str, connection: str, app: str, name: str) -> None:
        self.seen.append(f"ended {server} {connection} {app}/{name}")


@pytest.fixture
def gate() -> Gate:
    return Gate()


def client(gate: Gate, settings: HookSettings) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(gate, settings))
    return httpx.AsyncClient(transport=transport, base_url="http://gate", headers=FORM)


@pytest.fixture
async def http(gate: Gate) -> AsyncIterator[httpx.AsyncClient]:
    async with client(gate, HookSettings(stat_url=AWAY, pull_wait_ms=0)) as http:
        yield http


async def test_admitted_and_pulled_before_the_answer(gate: Gate, http: httpx.AsyncClient) -> None:
    response = await http.post(ON_PUBLISH, content=PUBLISH)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["connection"] == "close"
    assert gate.seen == ["admit u42", "attach st1 rtmp://127.0.0.1:1935/live/show"]


@pytest.mark.parametrize(
    ("reason", "status"), [("blocked", 403), ("ledger_down", 403), ("capacity", 503), ("draining", 503)]
)
async def test_refused_with_the_notice_in_both_languages(
    gate: Gate, http: httpx.AsyncClient, reason: str, status: int
) -> None:
    said = notice(reason)
    gate.answer = Admission(False, None, AdmissionReason(reason), notice=said)
    response = await http.post(ON_PUBLISH, content=PUBLISH)
    assert response.status_code == status
    assert response.text == f"{said.en}\n{said.ar}\n"
    assert gate.seen == ["admit u42"]
    assert not gate.turned  # the gate has reported its refusal


@pytest.mark.parametrize("failure", [CapacityExceeded("full"), WorkerLost("died")])
async def test_a_stream_that_cannot_be_watched_is_refused_and_forgotten(
    gate: Gate, http: httpx.AsyncClient, failure: GateError
) -> None:
    gate.failure = failure
    response = await http.post(ON_PUBLISH, content=PUBLISH)
    assert response.status_code == 503
    assert notice("capacity").ar in response.text
    assert gate.turned == [("u42", failure.reason)]
    assert gate.seen[-1] == "ended nginx-rtmp 2 live/show"


async def test_a_block_while_the_publish_waits_refuses_it(gate: Gate, http: httpx.AsyncClient) -> None:
    gate.cut_meanwhile = True
    response = await http.post(ON_PUBLISH, content=PUBLISH)
    assert response.status_code == 403
    assert gate.seen[-1] == "ended nginx-rtmp 2 live/show"
    assert gate.turned == [("u42", "cut")]


async def test_two_publishes_of_one_connection_at_once_are_both_refused(
    gate: Gate, http: httpx.AsyncClient
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
    gate: Gate, http: httpx.AsyncClient
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


async def test_publish_done(gate: Gate, http: httpx.AsyncClient) -> None:
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
async def test_secret(gate: Gate, path: str, query: str, status: int) -> None:
    async with client(gate, HookSettings(secret="s3cr&t", stat_url=AWAY)) as http:
        response = await http.post(path + query, content="call=nonsense")
    assert response.status_code == status
    assert not gate.seen


def test_the_secret_is_not_shown() -> None:
    assert "hunter2" not in repr(HookSettings(secret="hunter2"))


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
    gate: Gate, http: httpx.AsyncClient, path: str, body: str, status: int, word: str
) -> None:
    response = await http.post(path, content=body)
    assert response.status_code == status
    assert word in response.text
    assert not gate.seen


async def test_a_body_without_end_is_not_read_to_its_end(gate: Gate, http: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            assert sent < 100
            yield b"a" * 1024

    response = await http.post(ON_PUBLISH, content=endless())
    assert response.status_code == 413


async def test_only_forms(gate: Gate, http: httpx.AsyncClient) -> None:
    response = await http.post(ON_PUBLISH, content="{}", headers={"Content-Type": "application/json"})
    assert response.status_code == 415
    assert (await http.get(ON_PUBLISH)).status_code == 405
    assert not gate.seen


async def test_not_configured(gate: Gate) -> None:
    async with client(gate, HookSettings(enabled=False)) as http:
        response = await http.post(ON_PUBLISH, content=PUBLISH)
        assert response.status_code == 404
        assert "[nginx_rtmp]" in response.text
        assert (await http.get("/healthz")).status_code == 200
    assert not gate.seen
