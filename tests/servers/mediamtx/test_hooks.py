"""MediaMTX's authentication calls over HTTP, including those of its own API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from edge.errors import InvalidInput
from edge.notices.notice import notice
from edge.reasons import AdmissionReason
from edge.servers.doubles import GatekeeperDouble
from edge.servers.gatekeeper import Admission
from edge.servers.mediamtx.double import MediaMtxDouble
from edge.servers.mediamtx.hooks import MediaMtxHooks, read_publish
from edge.servers.publish_arguments import PublishArguments
from tests.servers.conftest import until
from tests.servers.hook_client import hooks_of

ARGUMENTS = PublishArguments()

HOOK = "/hooks/mediamtx"
CONNECTION = MediaMtxDouble.ids[0]
PUBLISH: dict[str, Any] = {
    "user": "",
    "password": "",
    "token": "",
    "ip": "192.0.2.7",
    "action": "publish",
    "path": "live/show",
    "protocol": "rtmp",
    "id": CONNECTION.partition("/")[2],
    "query": "user=u42&key=sek",
    "userAgent": "FMLE/3.0",
}


@pytest.fixture
def server() -> MediaMtxDouble:
    return MediaMtxDouble()


@pytest.fixture
async def http(gate: GatekeeperDouble, server: MediaMtxDouble) -> AsyncIterator[httpx.AsyncClient]:
    async with hooks_of(server, gate, MediaMtxHooks, api_password=SecretStr("pass")) as client:
        yield client


@pytest.mark.parametrize("path", ["live/show", "show"])
async def test_admitted_and_pulled_when_it_is_the_source(
    gate: GatekeeperDouble, server: MediaMtxDouble, http: httpx.AsyncClient, path: str
) -> None:
    assert (await http.post(HOOK, json={**PUBLISH, "path": path})).status_code == 200
    assert gate.seen == ["admit u42"]
    app, _, name = path.rpartition("/")
    server.sessions[CONNECTION] = (app, name)
    await until(lambda: len(gate.seen) == 2)
    assert gate.seen[1] == f"attach st1 rtmp://server/{path}"
    assert gate.publishes[0].connection == CONNECTION
    assert gate.publishes[0].attributes == {"stream_key": "sek"}


@pytest.mark.parametrize(("reason", "status"), [("blocked", 403), ("capacity", 503)])
async def test_refused(gate: GatekeeperDouble, http: httpx.AsyncClient, reason: str, status: int) -> None:
    said = notice(reason)
    gate.answer = Admission(False, None, AdmissionReason(reason), notice=said)
    response = await http.post(HOOK, json=PUBLISH)
    assert (response.status_code, response.text) == (status, f"{said.en}\n{said.ar}\n")


@pytest.mark.parametrize("protocol", ["rtsp", "rtsps"])
async def test_who_could_not_be_cut_is_told_so(
    gate: GatekeeperDouble, http: httpx.AsyncClient, protocol: str
) -> None:
    response = await http.post(HOOK, json={**PUBLISH, "protocol": protocol})
    assert response.status_code == 400
    assert (
        response.text == "protocol: must not be RTSP, which cannot be cut: publish by RTMP, SRT or WebRTC\n"
    )
    assert gate.seen == []


@pytest.mark.parametrize("action", ["read", "playback"])
async def test_players_pass(gate: GatekeeperDouble, http: httpx.AsyncClient, action: str) -> None:
    assert (await http.post(HOOK, json={"action": action})).status_code == 200
    assert gate.seen == []


@pytest.mark.parametrize("action", ["api", "metrics", "pprof"])
@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("gate", "pass", 200),
        ("gate", "wrong", 401),
        ("other", "pass", 401),
        ("", "", 401),
        ("ä", "pass", 401),
    ],
)
async def test_the_gates_own_kick_is_let_in_and_others_are_not(
    gate: GatekeeperDouble, http: httpx.AsyncClient, action: str, user: str, password: str, status: int
) -> None:
    asked = {"action": action, "user": user, "password": password, "ip": "127.0.0.1"}
    assert (await http.post(HOOK, json=asked)).status_code == status
    assert gate.seen == []


@pytest.mark.parametrize(
    ("ip", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("192.0.2.7", 401), ("", 401), ("x", 401)],
)
async def test_without_credentials_the_api_is_for_this_machine(
    gate: GatekeeperDouble, server: MediaMtxDouble, ip: str, status: int
) -> None:
    async with hooks_of(server, gate, MediaMtxHooks, api_user="") as http:
        assert (await http.post(HOOK, json={"action": "api", "ip": ip})).status_code == status


async def test_bad_calls_are_refused(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    assert (await http.post(HOOK, params={"secret": "wrong"}, json=PUBLISH)).status_code == 401
    assert (await http.post(HOOK, content=b"{")).status_code == 400
    assert (await http.post(HOOK, content=b"x" * 9000)).status_code == 413
    assert (await http.post(HOOK, json={"action": "somethingNew"})).status_code == 403
    assert gate.seen == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", ""),
        ("path", "a/b/c"),
        ("path", "../show"),
        ("path", "/show"),
        ("path", "live/"),
        ("path", "live/a b"),
        ("id", ""),
        ("id", "../paths"),
        ("protocol", "hls"),
        ("protocol", "rtsp"),
        ("protocol", "rtsps"),
        ("query", "user=u42&user=u43"),
        ("user", "u43"),
        ("protocol", None),
        ("query", "user=%FF"),
    ],
)
def test_refused_with_the_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput):
        read_publish({**PUBLISH, field: value}, ARGUMENTS)


@pytest.mark.parametrize(
    ("query", "user", "broadcaster"),
    [("user=u42", "", "u42"), ("user=u42", "u42", "u42"), ("", "login", "login"), ("", "", "live/show")],
)
def test_the_broadcaster(query: str, user: str, broadcaster: str) -> None:
    assert read_publish({**PUBLISH, "query": query, "user": user}, ARGUMENTS).broadcaster == broadcaster
