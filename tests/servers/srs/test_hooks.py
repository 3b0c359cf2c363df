"""SRS's callbacks over HTTP, from SRS and from others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput
from edge.notices.notice import notice
from edge.reasons import AdmissionReason
from edge.servers.doubles import GatekeeperDouble
from edge.servers.gatekeeper import Admission
from edge.servers.publish_arguments import PublishArguments
from edge.servers.srs.double import SrsDouble
from edge.servers.srs.hooks import SrsHooks, read_publish
from tests.servers.conftest import until
from tests.servers.hook_client import hooks_of

ARGUMENTS = PublishArguments()

HOOK = "/hooks/srs"
CLIENT = SrsDouble.ids[0]
ON_PUBLISH: dict[str, Any] = {
    "server_id": "vid-0xk989d",
    "service_id": "382k0xv5",
    "action": "on_publish",
    "client_id": CLIENT,
    "ip": "192.0.2.7",
    "vhost": "__defaultVhost__",
    "app": "live",
    "tcUrl": "rtmp://127.0.0.1:1935/live",
    "stream": "show",
    "param": "?user=u42&key=sek",
    "stream_url": "__defaultVhost__/live/show",
    "stream_id": "vid-124q9y3",
}


@pytest.fixture
def server() -> SrsDouble:
    return SrsDouble()


@pytest.fixture
async def http(gate: GatekeeperDouble, server: SrsDouble) -> AsyncIterator[httpx.AsyncClient]:
    async with hooks_of(server, gate, SrsHooks) as client:
        yield client


async def test_admitted_and_pulled_when_it_is_the_publisher(
    gate: GatekeeperDouble, server: SrsDouble, http: httpx.AsyncClient
) -> None:
    response = await http.post(HOOK, json=ON_PUBLISH)
    assert (response.status_code, response.json()) == (200, {"code": 0})
    assert gate.seen == ["admit u42"]
    server.sessions[CLIENT] = ("live", "show")
    await until(lambda: len(gate.seen) == 2)
    assert gate.seen[1] == "attach st1 rtmp://server/live/show"
    publish = gate.publishes[0]
    assert (publish.server, publish.connection, publish.address) == ("srs", CLIENT, "192.0.2.7")
    assert publish.attributes == {"stream_key": "sek"}


@pytest.mark.parametrize(("reason", "status"), [("blocked", 403), ("capacity", 503), ("draining", 503)])
async def test_refused_in_its_dialect(
    gate: GatekeeperDouble, server: SrsDouble, http: httpx.AsyncClient, reason: str, status: int
) -> None:
    said = notice(reason)
    gate.answer = Admission(False, None, AdmissionReason(reason), notice=said)
    response = await http.post(HOOK, json=ON_PUBLISH)
    assert response.status_code == status
    assert response.json() == {"code": status, "msg": f"{said.en}\n{said.ar}"}
    assert server.asked == []


async def test_the_end(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    response = await http.post(HOOK, json={**ON_PUBLISH, "action": "on_unpublish"})
    assert response.json() == {"code": 0}
    assert gate.seen == [f"ended srs {CLIENT} live/show"]


async def test_an_end_of_what_still_publishes_is_not_believed(
    gate: GatekeeperDouble, server: SrsDouble, http: httpx.AsyncClient
) -> None:
    server.sessions[CLIENT] = ("live", "show")
    assert (await http.post(HOOK, json={**ON_PUBLISH, "action": "on_unpublish"})).json() == {"code": 0}
    assert gate.seen == []


async def test_other_callbacks_pass(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    assert (await http.post(HOOK, json={"action": "on_connect"})).json() == {"code": 0}
    assert gate.seen == []


async def test_a_wrong_secret_is_refused(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    response = await http.post(HOOK, params={"secret": "wrong"}, json=ON_PUBLISH)
    assert (response.status_code, response.json()["code"]) == (401, 401)
    assert gate.seen == []


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"x" * 9000, 413), (b"[" * 5000, 400)])
async def test_bad_bodies_are_refused(
    gate: GatekeeperDouble, http: httpx.AsyncClient, body: bytes, status: int
) -> None:
    response = await http.post(HOOK, content=body)
    assert (response.status_code, response.json()["code"]) == (status, status)
    assert gate.seen == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_id", ""),
        ("client_id", "a/b"),
        ("client_id", 12),
        ("stream", "a b"),
        ("stream", "show.flv"),
        ("app", "../api"),
        ("param", "?user=%FF"),
        ("param", "?user=a%00"),
        ("param", "?user=u42&user=u43"),
        ("param", {"user": "u42"}),
    ],
)
def test_refused_with_the_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput):
        read_publish({**ON_PUBLISH, field: value}, ARGUMENTS)


@given(st.text(max_size=60))
def test_no_query_moves_a_publish_to_another_stream(query: str) -> None:
    try:
        publish = read_publish({**ON_PUBLISH, "param": f"?user=u42&{query}"}, ARGUMENTS)
    except InvalidInput:
        return
    assert (publish.connection, publish.app, publish.name) == (CLIENT, "live", "show")
    assert publish.broadcaster == "u42"
