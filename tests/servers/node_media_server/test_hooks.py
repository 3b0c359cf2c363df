"""Node-Media-Server's notifications over HTTP, from the server and from others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from edge.errors import InvalidInput, LimitExceeded
from edge.notices.notice import notice
from edge.reasons import AdmissionReason
from edge.servers.doubles import GatekeeperDouble
from edge.servers.gatekeeper import Admission
from edge.servers.hook_body import parse_object
from edge.servers.node_media_server.connector import NodeMediaServerConnector
from edge.servers.node_media_server.hooks import NodeMediaServerHooks, read_publish
from edge.servers.node_media_server.settings import NodeMediaServerSection
from edge.servers.publish_arguments import PublishArguments
from tests.servers.conftest import until
from tests.servers.hook_client import SECRET, serving

ARGUMENTS = PublishArguments()

HOOK = "/hooks/node-media-server"
SESSION = "mb8xyz0abc12"
MEASURED: dict[str, Any] = {
    "id": SESSION,
    "ip": "127.0.0.1:56592",
    "app": "live",
    "name": "show",
    "query": {"user": "u42", "key": "sek"},
    "protocol": "rtmp",
    "createtime": 1764000000000,
    "endtime": 0,
    "inbytes": 3391,
    "outbytes": 3263,
    "filePath": "",
    "action": "prePublish",
}


class Server:
    """The API of a server with one publisher of live/show and some open sessions."""

    def __init__(self) -> None:
        self.publisher = SESSION
        self.sessions = {SESSION}
        self.deleted: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if request.method == "DELETE":
            session = path.rpartition("/")[2]
            self.deleted.append(session)
            self.sessions.discard(session)
            return httpx.Response(200, json={"success": True})
        if path == "/sessions":
            listed = [{"id": session} for session in self.sessions]
            return httpx.Response(200, json={"success": True, "data": {"sessions": listed}})
        data = {"status": "publishing", "publisher": {"id": self.publisher}}
        return httpx.Response(200, json={"success": True, "data": data})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def http(gate: GatekeeperDouble, server: Server) -> AsyncIterator[httpx.AsyncClient]:
    section = NodeMediaServerSection(
        trust_broadcaster=True,
        api_url="http://nms",
        jwt_secret=SecretStr("x"),
        pull_url="rtmp://nms/{app}/{name}",
    )
    connector = NodeMediaServerConnector(section, transport=httpx.MockTransport(server))
    async with serving(NodeMediaServerHooks(gate, connector, section, SECRET), connector) as client:
        yield client


async def test_admitted_verified_and_pulled(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    assert (await http.post(HOOK, json=MEASURED)).status_code == 200
    await until(lambda: len(gate.seen) == 2)
    assert gate.seen == ["admit u42", "attach st1 rtmp://nms/live/show"]
    assert gate.publishes[0].connection == SESSION
    assert gate.publishes[0].attributes == {"stream_key": "sek"}


@pytest.mark.parametrize(
    ("reason", "status"), [("blocked", 403), ("ledger_down", 403), ("capacity", 503), ("draining", 503)]
)
async def test_the_refused_are_told_and_cut(
    gate: GatekeeperDouble, server: Server, http: httpx.AsyncClient, reason: str, status: int
) -> None:
    said = notice(reason)
    gate.answer = Admission(False, None, AdmissionReason(reason), notice=said)
    response = await http.post(HOOK, json=MEASURED)
    assert response.status_code == status
    assert response.text == f"{said.en}\n{said.ar}\n"
    await until(lambda: server.deleted == [SESSION])


async def test_a_replay_or_a_second_publisher_is_refused(
    gate: GatekeeperDouble, server: Server, http: httpx.AsyncClient
) -> None:
    server.publisher = "somebodyelse"
    assert (await http.post(HOOK, json=MEASURED)).status_code == 403
    assert gate.seen == ["admit u42", f"ended node-media-server {SESSION} live/show"]
    assert gate.turned == [("u42", "not_the_publisher")]
    await until(lambda: server.deleted == [SESSION])


async def test_who_does_not_publish_does_not_prove_its_cut(
    gate: GatekeeperDouble, server: Server, http: httpx.AsyncClient
) -> None:
    server.publisher, gate.admitted = "somebodyelse", False
    assert (await http.post(HOOK, json=MEASURED)).status_code == 403
    assert gate.seen == ["admit u42"]
    await until(lambda: server.deleted == [SESSION])


async def test_a_block_meanwhile_refuses(gate: GatekeeperDouble, http: httpx.AsyncClient) -> None:
    gate.admitted = False
    assert (await http.post(HOOK, json=MEASURED)).status_code == 403
    assert gate.turned == [("u42", "cut")]


async def test_the_end_is_believed_only_when_it_is_one(
    gate: GatekeeperDouble, server: Server, http: httpx.AsyncClient
) -> None:
    done = {**MEASURED, "action": "donePublish"}
    assert (await http.post(HOOK, json=done)).status_code == 200
    assert gate.seen == []
    server.publisher = "somebodyelse"
    assert (await http.post(HOOK, json=done)).status_code == 200
    assert gate.seen == [f"ended node-media-server {SESSION} live/show"]


@pytest.mark.parametrize("action", ["postPublish", "prePlay", "donePlay", "postRecord", "somethingNew"])
async def test_other_events_go_on(gate: GatekeeperDouble, http: httpx.AsyncClient, action: str) -> None:
    assert (await http.post(HOOK, json={"action": action})).status_code == 200
    assert gate.seen == []


@pytest.mark.parametrize("secret", ["", "wrong", "s3cr", "ä"])
async def test_secret(gate: GatekeeperDouble, http: httpx.AsyncClient, secret: str) -> None:
    response = await http.post(HOOK, params={"secret": secret}, json=MEASURED)
    assert response.status_code == 401
    assert gate.seen == []


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "JSON"),
        (b"[]", 400, "object"),
        (b"\xff", 400, "JSON"),
        (b'{"action":"prePublish","x":NaN}', 400, "NaN"),
        (b'{"action":"prePublish","x":' + b"9" * 5000 + b"}", 400, "JSON"),
        (b'{"action":' + b"[" * 4000 + b"]" * 4000 + b"}", 400, "deeper"),
        (b'{"action":[[[[[1]]]]]}', 400, "deeper"),
        (b'{"action":7}', 400, "action"),
        (b'{"action":"prePublish"}', 400, "app"),
        (b'{"a":"' + b"x" * 9000 + b'"}', 413, "8192 bytes"),
        (json.dumps({str(i): i for i in range(65)}).encode(), 413, "64 fields"),
    ],
)
async def test_bad_bodies_are_refused_by_name(
    gate: GatekeeperDouble, http: httpx.AsyncClient, body: bytes, status: int, word: str
) -> None:
    response = await http.post(HOOK, content=body)
    assert (response.status_code, word in response.text) == (status, True), response.text
    assert gate.seen == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "../x"),
        ("id", 7),
        ("name", "a/b"),
        (
            "name",
            "..",
        ),
        ("name", "show.flv"),
        ("name", None),
        ("app", ["live"]),
        ("query", "user=u42"),
        ("query", {"user": 7}),
        ("query", {"user": "a\u202eb"}),
        ("query", {"user": [["u42"]]}),
        ("ip", 7),
    ],
)
def test_refused_with_the_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_publish({**MEASURED, field: value}, ARGUMENTS)
    assert caught.value.field in {field, "user"}


def test_bounds() -> None:
    with pytest.raises(LimitExceeded, match="512 characters"):
        read_publish({**MEASURED, "query": {"user": "a" * 513}}, ARGUMENTS)


@pytest.mark.parametrize(
    ("query", "field"), [({"user": ["u42", "innocent"]}, "user"), ({"user": "u42", "key": []}, "key")]
)
def test_an_argument_has_one_value(query: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"{field}: must be given once"):
        read_publish({**MEASURED, "query": query}, ARGUMENTS)
    same = {"user": ["u42", "u42"], "other": ["a", "b"]}
    assert read_publish({**MEASURED, "query": same}, ARGUMENTS).broadcaster == "u42"


@pytest.mark.parametrize(
    ("ip", "address"),
    [
        ("10.1.2.3:5000", "10.1.2.3"),
        ("::ffff:10.1.2.3:5000", "10.1.2.3"),
        ("2001:db8::1:5000", "2001:db8::1"),
        ("undefined:undefined", ""),
        ("", ""),
    ],
)
def test_address_without_its_port(ip: str, address: str) -> None:
    assert read_publish({**MEASURED, "ip": ip}, ARGUMENTS).address == address


def test_without_accounts_the_broadcaster_is_the_stream() -> None:
    assert read_publish({**MEASURED, "query": None}, ARGUMENTS).broadcaster == "live/show"


def test_of_a_key_that_is_given_twice_the_first_counts() -> None:
    assert parse_object(b'{"name":"a","name":"b"}') == {"name": "a"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(sorted(MEASURED)), _JSON))
def test_any_body_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        publish = read_publish(parse_object(json.dumps({**MEASURED, **fields}).encode()), ARGUMENTS)
    except InvalidInput:
        return
    assert publish.app
    assert publish.connection
