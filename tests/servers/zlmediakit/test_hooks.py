"""ZLMediaKit's webhooks over HTTP, from the server and from others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from edge.errors import InvalidInput
from edge.notices.notice import notice
from edge.reasons import AdmissionReason
from edge.servers.doubles import GatekeeperDouble
from edge.servers.gatekeeper import Admission
from edge.servers.publish_arguments import PublishArguments
from edge.servers.zlmediakit.double import ZlMediaKitDouble
from edge.servers.zlmediakit.hooks import ZlMediaKitHooks, read_publish
from tests.servers.conftest import until
from tests.servers.hook_client import hooks_of

ARGUMENTS = PublishArguments()

ON_PUBLISH = "/hooks/zlmediakit/on_publish"
ON_FLOW_REPORT = "/hooks/zlmediakit/on_flow_report"
SESSION = ZlMediaKitDouble.ids[0]
BODY: dict[str, Any] = {
    "mediaServerId": "your_server_id",
    "app": "live",
    "id": SESSION,
    "ip": "192.0.2.7",
    "params": "user=u42&key=sek",
    "port": 65284,
    "schema": "rtmp",
    "protocol": "rtmp",
    "stream": "show",
    "vhost": "__defaultVhost__",
    "originType": 1,
    "originTypeStr": "rtmp_push",
}


@pytest.fixture
def server() -> ZlMediaKitDouble:
    return ZlMediaKitDouble()


@pytest.fixture
async def http(gate: GatekeeperDouble, server: ZlMediaKitDouble) -> AsyncIterator[httpx.AsyncClient]:
    async with hooks_of(server, gate, ZlMediaKitHooks) as client:
        yield client


async def test_admitted_and_pulled_when_it_is_the_publisher(
    gate: GatekeeperDouble, server: ZlMediaKitDouble, http: httpx.AsyncClient
) -> None:
    response = await http.post(ON_PUBLISH, json=BODY)
    assert (response.status_code, response.json()["code"]) == (200, 0)
    server.sessions["1-1"] = ("live", "show")  # Another session has the name, so the gate must not watch it.
    assert gate.seen == ["admit u42"]
    server.sessions = {SESSION: ("live", "show")}
    await until(lambda: len(gate.seen) == 2)
    assert gate.seen[1] == "attach st1 rtmp://server/live/show"
    assert gate.publishes[0].address == "192.0.2.7"
    assert gate.publishes[0].attributes == {"stream_key": "sek"}


@pytest.mark.parametrize("reason", ["blocked", "capacity"])
async def test_refused_with_200_so_that_it_is_not_asked_again(
    gate: GatekeeperDouble, http: httpx.AsyncClient, reason: str
) -> None:
    said = notice(reason)
    gate.answer = Admission(False, None, AdmissionReason(reason), notice=said)
    response = await http.post(ON_PUBLISH, json=BODY)
    assert (response.status_code, response.json()) == (200, {"code": -1, "msg": f"{said.en}\n{said.ar}"})


@pytest.mark.parametrize(("player", "seen"), [(False, [f"ended zlmediakit {SESSION} live/show"]), (True, [])])
async def test_only_the_publishers_flow_is_an_end(
    gate: GatekeeperDouble, http: httpx.AsyncClient, player: bool, seen: list[str]
) -> None:
    report = {**BODY, "player": player, "duration": 6, "totalBytes": 157}
    assert (await http.post(ON_FLOW_REPORT, json=report)).json()["code"] == 0
    assert gate.seen == seen


@pytest.mark.parametrize("path", [ON_PUBLISH, ON_FLOW_REPORT])
async def test_bad_calls_are_refused(gate: GatekeeperDouble, http: httpx.AsyncClient, path: str) -> None:
    for response in (
        await http.post(path, params={"secret": "wrong"}, json=BODY),
        await http.post(path, content=b"{"),
        await http.post(path, content=b"x" * 9000),
        await http.post(path, json={"player": False}),
    ):
        assert (response.status_code, response.json()["code"]) == (200, -1)
        assert response.json()["msg"]
    assert gate.seen == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "a b"),
        ("id", 7),
        ("stream", "a/b"),
        ("app", None),
        ("params", "user=%FF"),
        ("params", "user=u42&user=u43"),
        ("schema", "rtc"),
        ("originTypeStr", "rtc_push"),
    ],
)
def test_refused_with_the_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput):
        read_publish({**BODY, field: value}, ARGUMENTS)
