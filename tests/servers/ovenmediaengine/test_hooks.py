"""OvenMediaEngine's signed webhook over HTTP: late closings, replays, forged signatures."""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from edge.errors import InvalidInput, Unauthenticated
from edge.notices.notice import notice
from edge.reasons import AdmissionReason
from edge.servers.doubles import GatekeeperDouble
from edge.servers.gatekeeper import Admission
from edge.servers.ovenmediaengine.double import OvenMediaEngineDouble
from edge.servers.ovenmediaengine.hooks import (
    MAX_AGE_MS,
    OvenMediaEngineHooks,
    Replays,
    read_publish,
    signature_of,
)
from edge.servers.publish_arguments import PublishArguments
from tests.servers.conftest import until
from tests.servers.hook_client import hooks_of

ARGUMENTS = PublishArguments()

HOOK = "/hooks/ovenmediaengine"
KEY = "1234"
NOW_MS = 1_620_827_100_000  # 2021-05-12T13:45:00Z
OPENING: dict[str, Any] = {
    "client": {"address": "192.0.2.1", "port": 50001, "real_ip": "198.51.100.9", "user_agent": "OBS"},
    "request": {
        "direction": "incoming",
        "protocol": "rtmp",
        "status": "opening",
        "url": "rtmp://ome:1935/live/show?user=u42&key=sek",
        "time": "2021-05-12T13:45:00.000Z",
    },
}


class Clock:
    now_ms = NOW_MS

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> float:
        return float(self.now_ms)

    def thread_ms(self) -> float:
        return float(self.now_ms)


def changed(**request: Any) -> dict[str, Any]:
    body = copy.deepcopy(OPENING)
    body["client"].update(request.pop("client", {}))
    body["request"].update(request)
    return body


async def send(http: httpx.AsyncClient, body: dict[str, Any], signature: str | None = None) -> httpx.Response:
    raw = json.dumps(body).encode()
    given = signature_of(KEY, raw) if signature is None else signature
    return await http.post(HOOK, content=raw, headers={"X-OME-Signature": given})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> OvenMediaEngineDouble:
    return OvenMediaEngineDouble()


@pytest.fixture
async def http(
    gate: GatekeeperDouble, server: OvenMediaEngineDouble, clock: Clock
) -> AsyncIterator[httpx.AsyncClient]:
    hooks = functools.partial(OvenMediaEngineHooks, clock=clock)
    async with hooks_of(server, gate, hooks, secret_key=SecretStr(KEY)) as client:
        yield client


async def test_admitted_and_pulled_when_the_peer_is_the_source(
    gate: GatekeeperDouble, server: OvenMediaEngineDouble, http: httpx.AsyncClient
) -> None:
    server.sessions["192.0.2.1:40000"] = ("live", "show")  # the one before, not closed yet
    response = await send(http, OPENING)
    assert (response.status_code, response.json()) == (200, {"allowed": True})
    assert gate.seen == ["admit u42"]
    server.sessions = {"192.0.2.1:50001": ("live", "show")}
    await until(lambda: len(gate.seen) == 2)
    assert gate.seen[1] == "attach st1 rtmp://server/live/show"
    assert gate.publishes[0].connection == "192.0.2.1:50001"
    assert gate.publishes[0].address == "198.51.100.9"


@pytest.mark.parametrize("reason", ["blocked", "capacity"])
async def test_refused_in_its_dialect(gate: GatekeeperDouble, http: httpx.AsyncClient, reason: str) -> None:
    said = notice(reason)
    gate.answer = Admission(False, None, AdmissionReason(reason), notice=said)
    response = await send(http, OPENING)
    assert (response.status_code, response.json()) == (
        200,
        {"allowed": False, "reason": f"{said.en}\n{said.ar}"},
    )


async def test_a_late_closing_ends_the_old_connection_only(
    gate: GatekeeperDouble, server: OvenMediaEngineDouble, http: httpx.AsyncClient
) -> None:
    server.sessions["192.0.2.1:50001"] = ("live", "show")
    await send(http, OPENING)
    await until(lambda: len(gate.seen) == 2)
    late = changed(status="closing", client={"port": 40000})
    assert (await send(http, late)).json() == {}
    assert gate.seen[2:] == ["ended ovenmediaengine 192.0.2.1:40000 live/show"]


async def test_a_closing_under_the_new_name(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    closing = changed(status="closing", new_url="rtmp://ome:1935/live/renamed?user=u42")
    assert (await send(http, closing)).json() == {}
    assert gate.seen == ["ended ovenmediaengine 192.0.2.1:50001 live/renamed"]


@pytest.mark.parametrize(("status", "answer"), [("opening", {"allowed": True}), ("closing", {})])
async def test_players_pass(
    gate: GatekeeperDouble, http: httpx.AsyncClient, status: str, answer: dict[str, Any]
) -> None:
    assert (await send(http, changed(direction="outgoing", status=status))).json() == answer
    assert gate.seen == []


@pytest.mark.parametrize("signature", ["", "wrong", "ä", signature_of("other key", b"{}")])
async def test_a_forged_signature_is_refused(
    gate: GatekeeperDouble, http: httpx.AsyncClient, signature: str
) -> None:
    raw = json.dumps(OPENING).encode()
    headers = [(b"X-OME-Signature", signature.encode())]
    response = await http.post(HOOK, content=raw, headers=headers)
    assert (response.status_code, response.json()["allowed"]) == (401, False)
    assert gate.seen == []


async def test_a_padded_signature_is_the_same(http: httpx.AsyncClient) -> None:
    raw = json.dumps(OPENING).encode()
    padded = base64.urlsafe_b64encode(hmac.new(KEY.encode(), raw, hashlib.sha1).digest()).decode()
    assert padded.endswith("=")
    assert (await send(http, OPENING, padded)).json() == {"allowed": True}


async def test_a_replay_is_refused(gate: GatekeeperDouble, http: httpx.AsyncClient, clock: Clock) -> None:
    assert (await send(http, OPENING)).json() == {"allowed": True}
    again = await send(http, OPENING)
    assert (again.status_code, again.json()["allowed"]) == (401, False)
    clock.now_ms += MAX_AGE_MS + 1
    old = await send(http, changed(client={"port": 50002}))
    assert (old.status_code, old.json()["allowed"]) == (401, False)
    assert gate.seen == ["admit u42"]


@given(st.integers(-(10**7), 10**7))
def test_only_the_age_decides_about_an_unseen_body(age_ms: int) -> None:
    replays = Replays()
    if abs(age_ms) > MAX_AGE_MS:
        with pytest.raises(Unauthenticated, match="clock"):
            replays.check("s", NOW_MS - age_ms, NOW_MS)
    else:
        replays.check("s", NOW_MS - age_ms, NOW_MS)
        with pytest.raises(Unauthenticated, match="before"):
            replays.check("s", NOW_MS - age_ms, NOW_MS)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"client": 7, "request": {}},
        changed(time="yesterday"),
        changed(time="2021-05-12T13:45:00.000"),
        changed(status="paused"),
        changed(url="rtmp://ome:1935/show"),
        changed(url="rtmp://[ome/live/show"),
        changed(url="rtmp://ome/live/a%20b"),
        changed(url="rtmp://ome/../show"),
        changed(client={"port": 0}),
        changed(client={"port": True}),
        changed(client={"address": "ome.example"}),
    ],
)
async def test_bad_bodies_are_refused_though_they_are_signed(
    gate: GatekeeperDouble, http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    response = await send(http, body)
    assert (response.status_code, response.json()["allowed"]) == (400, False)
    assert gate.seen == []


async def test_a_long_body_is_refused(http: httpx.AsyncClient) -> None:
    assert (await send(http, changed(url="x" * 9000))).status_code == 413


def test_ipv6_peers_are_told_apart() -> None:
    body = changed(client={"address": "2001:db8::1", "port": 50002})
    assert read_publish(body, ARGUMENTS).connection == "2001:db8::1:50002"


@given(st.text(max_size=40))
def test_any_url_is_read_or_refused(url: str) -> None:
    try:
        publish = read_publish(changed(url=f"rtmp://ome/{url}"), ARGUMENTS)
    except InvalidInput:
        return
    assert publish.app
    assert publish.name
