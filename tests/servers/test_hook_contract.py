"""The contract of every kind's hooks, made from settings, beside its server's API over HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.responses import Response

from edge.config import load_settings
from edge.domain import Publish, StreamId
from edge.notices.notice import notice
from edge.printable import is_invisible
from edge.reasons import AdmissionReason
from edge.servers.doubles import GatekeeperDouble
from edge.servers.gatekeeper import Admission
from edge.servers.http_app import create_app
from edge.servers.installed import IngestServers
from edge.servers.kind import AnyKind
from edge.servers.server_double import HookCall, ServerDouble
from tests.servers.conftest import until

SECRET = "s3cr&t"
ATTACHED = "attach st1 rtmp://server/live/show"
HOSTILE = ("", "a b", "..", "show.flv", "x" * 300, "\u202ea", "a%2fb", "a;b", "a\0b")


@contextlib.asynccontextmanager
async def installed(
    kind: AnyKind,
    server: ServerDouble,
    gate: GatekeeperDouble,
    carried: Iterable[tuple[StreamId, Publish]] = (),
    trusted: bool = True,
) -> AsyncIterator[httpx.AsyncClient]:
    """The app of a gate whose settings name only this server."""
    place = "{path}" if "{path}" in kind.settings.model_fields["pull_url"].default else "{app}/{name}"
    section = {**dict(server.section()), "pull_url": f"rtmp://server/{place}"}
    section["trust_broadcaster"] = trusted
    settings = load_settings(None, {kind.section: section})
    servers = IngestServers(settings.servers(), SECRET)
    hooks = servers.hooks(gate)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(hooks, carried)),
        base_url="http://gate",
        params={"secret": SECRET},
    ) as client:
        yield client
    closing: list[Any] = [*hooks, *servers.connectors().values()]
    for each in closing:
        await each.aclose()


@pytest.fixture
async def http(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble
) -> AsyncIterator[httpx.AsyncClient]:
    async with installed(kind, server, gate) as client:
        yield client


async def send(http: httpx.AsyncClient, call: HookCall) -> Response:
    response = await http.post(call.path, content=call.body, headers=dict(call.headers))
    return Response(response.content, response.status_code, dict(response.headers))


async def publish(server: ServerDouble, http: httpx.AsyncClient, name: str = "show") -> Response:
    """One publish from its hook on, in the server's own order."""
    connection = server.ids[0]
    if not server.asks_first:
        server.sessions[connection] = ("live", name)
    response = await send(http, server.publish_call(connection, "live", name, "u42"))
    server.sessions[connection] = ("live", name)
    return response


async def test_a_publish_is_admitted_and_pulled(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient
) -> None:
    assert kind.dialect.accepts(await publish(server, http))
    await until(lambda: ATTACHED in gate.seen)
    assert gate.seen == ["admit u42", ATTACHED]
    [asked] = gate.publishes
    assert (asked.server, asked.connection) == (kind.name, server.ids[0])
    assert (asked.app, asked.name, asked.broadcaster) == ("live", "show", "u42")
    assert asked.address.startswith("192.0.2.")
    assert asked.attributes == {"stream_key": "sek"}


@pytest.mark.parametrize(
    "reason", ["blocked", "capacity", "already_live", "paused", "ledger_down", "draining"]
)
async def test_who_is_refused_is_told_why_and_not_pulled(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient, reason: str
) -> None:
    said = notice(reason)
    gate.answer = Admission(False, None, AdmissionReason(reason), notice=said)
    response = await publish(server, http)
    assert not kind.dialect.accepts(response)
    text = bytes(response.body).decode()
    for words in (said.en, said.ar):
        assert words in text or json.dumps(words, ensure_ascii=False)[1:-1] in text
    assert gate.seen == ["admit u42"]


async def test_a_name_that_nothing_checks_is_told_as_unproven(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble
) -> None:
    async with installed(kind, server, gate, trusted=False) as http:
        await publish(server, http)
    [asked] = gate.publishes
    assert (asked.broadcaster, asked.identity_proven) == ("u42", False)


UNSEEN = ("u\u200b42", "u42\u200f", "u\u00ad42", "u42\U000e0061", "u42\0", "u42\u3164")


@pytest.mark.parametrize("user", UNSEEN)
async def test_a_user_with_characters_that_cannot_be_seen_is_refused(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient, user: str
) -> None:
    answers = [
        await send(http, server.publish_call(server.ids[0], "live", "show", written))
        for written in (user, quote(user))  # The server writes one of them.
    ]
    assert not all(kind.dialect.accepts(answer) for answer in answers)
    assert not any(is_invisible(each) for asked in gate.publishes for each in asked.broadcaster)


@pytest.mark.parametrize("secret", ["", "wrong", "s3cr", "ä"])
async def test_without_the_secret_nobody_is_heard(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient, secret: str
) -> None:
    http.params = httpx.QueryParams(secret=secret)
    response = await publish(server, http)
    assert not kind.dialect.accepts(response)
    assert b"secret" in bytes(response.body)
    assert gate.seen == []


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_name_that_would_be_pulled_as_another_is_refused_by_its_field(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient, name: str
) -> None:
    response = await send(http, server.publish_call(server.ids[0], "live", name, "u42"))
    assert not kind.dialect.accepts(response)
    assert f"{server.name_field}: " in bytes(response.body).decode()
    assert gate.seen == []


async def test_an_argument_over_its_bound_is_refused_by_its_field(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient
) -> None:
    response = await send(http, server.publish_call(server.ids[0], "live", "show", "u" * 513))
    assert not kind.dialect.accepts(response)
    assert "user: 513 characters is over the limit of 512 characters" in bytes(response.body).decode()
    assert gate.seen == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff=\xff", b"[" * 5000, b"x" * 9000, b'{"a":NaN}', b"7"]
)
async def test_a_body_that_is_none_of_its_own_is_refused(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient, body: bytes
) -> None:
    usual = server.publish_call(server.ids[0], "live", "show", "u42")
    response = await send(http, HookCall(usual.path, body, usual.headers))
    assert not kind.dialect.accepts(response)
    assert bytes(response.body).strip()
    assert gate.seen == []


async def test_hooks_are_posted(server: ServerDouble, http: httpx.AsyncClient) -> None:
    call = server.publish_call(server.ids[0], "live", "show", "u42")
    assert (await http.get(call.path)).status_code == 405


async def test_an_end_is_told(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient
) -> None:
    """Ends a publish by its hook. A server without such a hook shows the end in its API."""
    await publish(server, http)
    await until(lambda: ATTACHED in gate.seen)
    server.sessions.clear()
    if (call := server.ended_call(server.ids[0], "live", "show", "u42")) is not None:
        assert (await send(http, call)).status_code == 200
        assert len(gate.seen) == 3
    await until(lambda: len(gate.seen) > 2)
    assert gate.seen[2] == f"ended {kind.name} {server.ids[0]} live/show"


async def test_an_end_of_what_still_publishes_is_not_believed(
    server: ServerDouble, gate: GatekeeperDouble, http: httpx.AsyncClient
) -> None:
    await publish(server, http)
    await until(lambda: ATTACHED in gate.seen)
    if (call := server.ended_call(server.ids[0], "live", "show", "u42")) is not None:
        assert (await send(http, call)).status_code == 200
    assert gate.seen == ["admit u42", ATTACHED]


async def test_a_stream_of_an_earlier_gate_is_watched_again(
    kind: AnyKind, server: ServerDouble, gate: GatekeeperDouble
) -> None:
    server.sessions[server.ids[0]] = ("live", "show")
    mine = Publish(kind.name, server.ids[0], "live", "show", "u42")
    other = Publish("another-kind", server.ids[0], "live", "other", "u43")
    async with installed(kind, server, gate, [(StreamId("st1"), mine), (StreamId("st2"), other)]):
        await until(lambda: bool(gate.seen))
    assert gate.seen == [ATTACHED]
