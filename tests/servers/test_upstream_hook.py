"""The platform's hook before the gate's: who is asked, and whose answer the server gets."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from edge.config import load_settings
from edge.reasons import AdmissionReason
from edge.servers.dialect import Dialect
from edge.servers.doubles import GatekeeperDouble
from edge.servers.gatekeeper import Admission
from edge.servers.http_app import create_app
from edge.servers.installed import IngestServers
from edge.servers.kind import AnyKind
from edge.servers.publish_arguments import PublishArguments
from edge.servers.server_double import SECRET as API_SECRET
from edge.servers.server_double import HookCall, ServerDouble
from edge.servers.upstream_hook import Chain, ChainedHooks, Upstream
from tests.servers.sections import section_of

SECRET = "s3cr&t"
NGINX = "edge.servers.nginx_rtmp"


def double_of(folder: str) -> type[ServerDouble]:
    double: type[ServerDouble] = import_module(f"{folder}.double").DOUBLE
    return double


class Platform:
    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Chained:
    """The hooks of one server whose API is away, behind the platform's hook."""

    double: ServerDouble
    dialect: Dialect
    gate: GatekeeperDouble
    http: httpx.AsyncClient

    async def call(self, body: bytes | None = None) -> Response:
        """One publish, or a call of the same hook with another body."""
        return await self.send(self.publish, body)

    async def send(self, call: HookCall, body: bytes | None = None) -> Response:
        content = call.body if body is None else body
        return _starlette(await self.http.post(call.path, content=content, headers=dict(call.headers)))

    def lets_in(self, response: Response) -> bool:
        return self.dialect.accepts(response)

    @functools.cached_property
    def publish(self) -> HookCall:
        return self.double.publish_call(self.double.ids[0], "live", "show", "u42")


@contextlib.asynccontextmanager
async def chained(
    folder: str, gate: GatekeeperDouble, platform: Platform, *, allow_on_failure: bool = False
) -> AsyncIterator[Chained]:
    kind: AnyKind = import_module(f"{folder}.kind").KIND
    double: ServerDouble = import_module(f"{folder}.double").DOUBLE()
    section = double.section()
    connector = kind.connector(section)
    upstream = Upstream("http://platform/auth?own=1", 1.0, allow_on_failure)
    arguments = PublishArguments.of(section)
    chain = Chain(upstream, kind.dialect, SECRET, gate, arguments, httpx.MockTransport(platform))
    hooks: Any = kind.hooks(gate, connector, section, SECRET)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app([ChainedHooks(hooks, chain)])),
        base_url="http://gate",
        params={"secret": SECRET},
    ) as client:
        yield Chained(double, kind.dialect, gate, client)
    await chain.aclose()
    await hooks.aclose()
    await connector.aclose()


def answer_of(response: Response) -> httpx.Response:
    """The response of a platform that gives this answer."""
    return httpx.Response(response.status_code, content=bytes(response.body))


async def test_both_let_in_and_the_platform_is_passed_through(folder: str, gate: GatekeeperDouble) -> None:
    yes = double_of(folder).allows
    platform = Platform(answer_of(yes))
    async with chained(folder, gate, platform) as chain:
        response = await chain.call()
        assert (response.status_code, response.body) == (yes.status_code, yes.body)
        assert gate.seen[0] == "admit u42"
        [asked] = platform.asked
        assert str(asked.url) == "http://platform/auth?own=1"
        assert asked.content == chain.publish.body
        assert SECRET not in str(asked.headers)


async def test_whom_the_platform_refuses_the_gate_never_sees(folder: str, gate: GatekeeperDouble) -> None:
    no = double_of(folder).denies
    async with chained(folder, gate, Platform(answer_of(no))) as chain:
        response = await chain.call()
    assert (response.status_code, response.body) == (no.status_code, no.body)
    assert gate.seen == []
    assert gate.turned == [("u42", "upstream")]


async def test_whom_the_gate_refuses_the_platform_cannot_let_in(folder: str, gate: GatekeeperDouble) -> None:
    gate.answer = Admission(False, None, AdmissionReason.BLOCKED)
    async with chained(folder, gate, Platform(answer_of(double_of(folder).allows))) as chain:
        assert not chain.lets_in(await chain.call())
    assert gate.seen == ["admit u42"]


@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.Response(200, content=b"x" * 70_000)],
    ids=["away", "hangs", "floods"],
)
async def test_a_platform_that_does_not_answer_refuses_unless_told_otherwise(
    folder: str, failure: httpx.Response | Exception
) -> None:
    for allow in (False, True):
        gate = GatekeeperDouble()
        async with chained(folder, gate, Platform(failure), allow_on_failure=allow) as chain:
            assert chain.lets_in(await chain.call()) is allow
        assert bool(gate.seen) is allow


async def test_a_body_that_the_gate_cannot_read_is_not_let_in_by_the_platform(
    folder: str, gate: GatekeeperDouble
) -> None:
    async with chained(folder, gate, Platform(answer_of(double_of(folder).allows))) as chain:
        for body in (b"\xff=\xff", b"x" * 9000, b"{", chain.publish.body.replace(b"show", b"\xff\xfe")):
            assert not chain.lets_in(await chain.call(body)), body
    assert gate.seen == []


async def test_a_stranger_does_not_reach_the_platform(folder: str, gate: GatekeeperDouble) -> None:
    platform = Platform(answer_of(double_of(folder).allows))
    async with chained(folder, gate, platform) as chain:
        chain.http.params = httpx.QueryParams(secret="wrong")
        assert not chain.lets_in(await chain.call())
    assert platform.asked == []
    assert gate.seen == []


async def test_a_renamed_stream_is_watched_under_its_new_name(gate: GatekeeperDouble) -> None:
    platform = Platform(httpx.Response(302, headers={"location": "renamed"}))
    async with chained(NGINX, gate, platform) as chain:
        response = await chain.call()
    assert (response.status_code, response.headers["location"]) == (302, "renamed")
    assert gate.seen == ["admit u42", "attach st1 rtmp://127.0.0.1:1935/live/renamed"]


async def test_a_relay_elsewhere_leaves_the_name_alone(gate: GatekeeperDouble) -> None:
    platform = Platform(httpx.Response(302, headers={"location": "rtmp://other/live/x"}))
    async with chained(NGINX, gate, platform) as chain:
        assert (await chain.call()).status_code == 302
    assert gate.seen[1] == "attach st1 rtmp://127.0.0.1:1935/live/show"


async def test_a_new_name_that_cannot_be_watched_is_refused(gate: GatekeeperDouble) -> None:
    platform = Platform(httpx.Response(302, headers={"location": "../other app/x"}))
    async with chained(NGINX, gate, platform) as chain:
        assert (await chain.call()).status_code == 400
    assert gate.seen == []


async def test_a_new_url_of_ovenmediaengine(gate: GatekeeperDouble) -> None:
    new_url = "rtmp://ome:1935/live/renamed?user=u42"
    platform = Platform(httpx.Response(200, json={"allowed": True, "new_url": new_url}))
    async with chained("edge.servers.ovenmediaengine", gate, platform) as chain:
        assert json.loads(bytes((await chain.call()).body))["new_url"] == new_url
    assert gate.publishes[0].name == "renamed"


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, text="ok"), httpx.Response(500), httpx.ConnectError("refused")]
)
async def test_an_end_reaches_both_whatever_the_platform_says(
    gate: GatekeeperDouble, answer: httpx.Response | Exception
) -> None:
    platform = Platform(answer)
    async with chained(NGINX, gate, platform) as chain:
        done = chain.double.ended_call(chain.double.ids[0], "live", "show", "u42")
        assert done is not None
        response = await chain.send(done)
    assert response.status_code == (500 if isinstance(answer, httpx.Response) and answer.is_error else 200)
    assert gate.seen == ["ended nginx-rtmp 7 live/show"]
    assert len(platform.asked) == 1


async def test_the_gates_own_kick_does_not_hang_on_the_platform(gate: GatekeeperDouble) -> None:
    platform = Platform(httpx.ConnectError("refused"))
    body = json.dumps({"action": "api", "user": "gate", "password": API_SECRET}).encode()
    async with chained("edge.servers.mediamtx", gate, platform) as chain:
        assert (await chain.call(body)).status_code == 200
    assert platform.asked == []


def test_the_setting(kind: AnyKind, gate: GatekeeperDouble) -> None:
    section = {**section_of(kind), "upstream_url": "https://platform/auth"}
    [hooks] = IngestServers(load_settings(None, {kind.section: section}).servers()).hooks(gate)
    assert isinstance(hooks, ChainedHooks)
    assert hooks.server == kind.name


def _starlette(response: httpx.Response) -> Response:
    return Response(response.content, response.status_code, dict(response.headers))
