"""The platform's own hook before the gate's: who is asked, whose answer the server gets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from edge.config import load_settings
from edge.reasons import AdmissionReason
from edge.servers.gatekeeper import Admission
from edge.servers.hook_http import ServerHooks
from edge.servers.http_app import create_app
from edge.servers.installed import IngestServers
from edge.servers.nginx_rtmp.hook_settings import HookSettings
from edge.servers.upstream_hook import DIALECTS, Chain, ChainedHooks, Upstream
from tests.servers.conftest import RecordingGate
from tests.servers.mediamtx.test_hooks import PUBLISH as MEDIAMTX
from tests.servers.node_media_server.test_hooks import MEASURED as NODE
from tests.servers.ovenmediaengine.test_hooks import OPENING as OVEN
from tests.servers.srs.test_hooks import ON_PUBLISH as SRS
from tests.servers.test_installed import SECTIONS
from tests.servers.zlmediakit.test_hooks import BODY as ZLM

FORM = b"app=live&addr=127.0.0.1&clientid=2&call=publish&name=show&user=u42"
DONE = FORM.replace(b"call=publish", b"call=publish_done")
SECRET = "s3cr&t"
YES: dict[str, httpx.Response] = {
    "nginx-rtmp": httpx.Response(204),
    "node-media-server": httpx.Response(200),
    "srs": httpx.Response(200, text="0"),
    "mediamtx": httpx.Response(200),
    "ovenmediaengine": httpx.Response(200, json={"allowed": True, "lifetime": 60_000}),
    "zlmediakit": httpx.Response(200, json={"code": 0, "enable_mp4": True}),
}
NO: dict[str, httpx.Response] = {
    "nginx-rtmp": httpx.Response(404, text="no such account"),
    "node-media-server": httpx.Response(401, text="no such account"),
    "srs": httpx.Response(200, json={"code": 7, "msg": "no such account"}),
    "mediamtx": httpx.Response(401, text="no such account"),
    "ovenmediaengine": httpx.Response(200, json={"allowed": False, "reason": "no such account"}),
    "zlmediakit": httpx.Response(200, json={"code": 7, "msg": "no such account"}),
}
CALLS: dict[str, tuple[str, bytes]] = {
    "nginx-rtmp": ("/hooks/nginx-rtmp/on_publish", FORM),
    "node-media-server": ("/hooks/node-media-server", json.dumps(NODE).encode()),
    "srs": ("/hooks/srs", json.dumps(SRS).encode()),
    "mediamtx": ("/hooks/mediamtx", json.dumps(MEDIAMTX).encode()),
    "ovenmediaengine": ("/hooks/ovenmediaengine", json.dumps(OVEN).encode()),
    "zlmediakit": ("/hooks/zlmediakit/on_publish", json.dumps(ZLM).encode()),
}
KINDS = sorted(CALLS)


class Platform:
    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@contextlib.asynccontextmanager
async def chained(
    kind: str, gate: RecordingGate, platform: Platform, *, allow_on_failure: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """The hooks of one server whose API is away, with the platform before them."""
    section = kind.replace("-", "_")
    away: dict[str, Any] = {} if kind == "nginx-rtmp" else {"api_url": "http://127.0.0.1:9"}
    unsigned = {"secret_key": ""} if kind == "ovenmediaengine" else {}
    settings = load_settings(
        None, {section: {**SECTIONS[section], **away, **unsigned}, "http": {"hook_secret": SECRET}}
    )
    upstream = Upstream("http://platform/auth?own=1", 1.0, allow_on_failure)
    chain = Chain(upstream, DIALECTS[kind], SECRET, httpx.MockTransport(platform))
    hooks: list[ServerHooks] = [ChainedHooks(one, chain) for one in IngestServers(settings).hooks(gate)]
    nginx = HookSettings(kind == "nginx-rtmp", SECRET, stat_url="http://127.0.0.1:9/stat", pull_wait_ms=0)
    app = create_app(gate, nginx, hooks)
    if kind == "nginx-rtmp":
        app.router.routes[:] = [chain.route(r) if "nginx" in r.path else r for r in app.router.routes]  # type: ignore[attr-defined,arg-type]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gate", params={"secret": SECRET}
    ) as client:
        yield client
    await chain.aclose()


async def call(http: httpx.AsyncClient, kind: str, body: bytes | None = None) -> httpx.Response:
    path, usual = CALLS[kind]
    media = "application/x-www-form-urlencoded" if kind == "nginx-rtmp" else "application/json"
    return await http.post(path, content=usual if body is None else body, headers={"content-type": media})


@pytest.mark.parametrize("kind", KINDS)
async def test_both_let_in_and_the_platform_is_passed_through(kind: str, gate: RecordingGate) -> None:
    platform = Platform(YES[kind])
    async with chained(kind, gate, platform) as http:
        response = await call(http, kind)
    assert (response.status_code, response.content) == (YES[kind].status_code, YES[kind].content)
    assert gate.seen[0] == "admit u42"
    [asked] = platform.asked
    assert str(asked.url) == "http://platform/auth?own=1"
    assert asked.content == CALLS[kind][1]
    assert SECRET not in str(asked.headers)


@pytest.mark.parametrize("kind", KINDS)
async def test_whom_the_platform_refuses_the_gate_never_sees(kind: str, gate: RecordingGate) -> None:
    async with chained(kind, gate, Platform(NO[kind])) as http:
        response = await call(http, kind)
    assert (response.status_code, response.content) == (NO[kind].status_code, NO[kind].content)
    assert gate.seen == []


@pytest.mark.parametrize("kind", KINDS)
async def test_whom_the_gate_refuses_the_platform_cannot_let_in(kind: str, gate: RecordingGate) -> None:
    gate.answer = Admission(False, None, AdmissionReason.BLOCKED)
    async with chained(kind, gate, Platform(YES[kind])) as http:
        response = await call(http, kind)
    assert not DIALECTS[kind].accepts(_starlette(response))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.Response(200, content=b"x" * 70_000)],
    ids=["away", "hangs", "floods"],
)
async def test_a_platform_that_does_not_answer_refuses_unless_told_otherwise(
    kind: str, failure: httpx.Response | Exception
) -> None:
    for allow in (False, True):
        gate = RecordingGate()
        async with chained(kind, gate, Platform(failure), allow_on_failure=allow) as http:
            response = await call(http, kind)
        assert DIALECTS[kind].accepts(_starlette(response)) is allow
        assert bool(gate.seen) is allow


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_that_the_gate_cannot_read_is_not_let_in_by_the_platform(
    kind: str, gate: RecordingGate
) -> None:
    async with chained(kind, gate, Platform(YES[kind])) as http:
        for body in (b"\xff=\xff", b"x" * 9000, b"{", CALLS[kind][1].replace(b"show", b"\xff\xfe")):
            assert not DIALECTS[kind].accepts(_starlette(await call(http, kind, body))), body
    assert gate.seen == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stranger_does_not_reach_the_platform(kind: str, gate: RecordingGate) -> None:
    platform = Platform(YES[kind])
    async with chained(kind, gate, platform) as http:
        http.params = httpx.QueryParams(secret="wrong")
        assert not DIALECTS[kind].accepts(_starlette(await call(http, kind)))
    assert platform.asked == []
    assert gate.seen == []


async def test_a_renamed_stream_is_watched_under_its_new_name(gate: RecordingGate) -> None:
    platform = Platform(httpx.Response(302, headers={"location": "renamed"}))
    async with chained("nginx-rtmp", gate, platform) as http:
        response = await call(http, "nginx-rtmp")
    assert (response.status_code, response.headers["location"]) == (302, "renamed")
    assert gate.seen == ["admit u42", "attach st1 rtmp://127.0.0.1:1935/live/renamed"]


async def test_a_relay_elsewhere_leaves_the_name_alone(gate: RecordingGate) -> None:
    platform = Platform(httpx.Response(302, headers={"location": "rtmp://other/live/x"}))
    async with chained("nginx-rtmp", gate, platform) as http:
        assert (await call(http, "nginx-rtmp")).status_code == 302
    assert gate.seen[1] == "attach st1 rtmp://127.0.0.1:1935/live/show"


async def test_a_new_name_that_cannot_be_watched_is_refused(gate: RecordingGate) -> None:
    platform = Platform(httpx.Response(302, headers={"location": "../other app/x"}))
    async with chained("nginx-rtmp", gate, platform) as http:
        assert (await call(http, "nginx-rtmp")).status_code == 400
    assert gate.seen == []


async def test_a_new_url_of_ovenmediaengine(gate: RecordingGate) -> None:
    new_url = "rtmp://ome:1935/live/renamed?user=u42"
    platform = Platform(httpx.Response(200, json={"allowed": True, "new_url": new_url}))
    async with chained("ovenmediaengine", gate, platform) as http:
        assert (await call(http, "ovenmediaengine")).json()["new_url"] == new_url
    assert gate.publishes[0].name == "renamed"


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, text="ok"), httpx.Response(500), httpx.ConnectError("refused")]
)
async def test_an_end_reaches_both_whatever_the_platform_says(
    gate: RecordingGate, answer: httpx.Response | Exception
) -> None:
    platform = Platform(answer)
    async with chained("nginx-rtmp", gate, platform) as http:
        response = await http.post(
            "/hooks/nginx-rtmp/on_publish_done",
            content=DONE,
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
    assert response.status_code == (500 if isinstance(answer, httpx.Response) and answer.is_error else 200)
    assert gate.seen == ["ended nginx-rtmp 2 live/show"]
    assert len(platform.asked) == 1


async def test_the_gates_own_kick_does_not_hang_on_the_platform(gate: RecordingGate) -> None:
    platform = Platform(httpx.ConnectError("refused"))
    body = json.dumps({"action": "api", "user": "gate", "password": "hunter2"}).encode()
    async with chained("mediamtx", gate, platform) as http:
        assert (await call(http, "mediamtx", body)).status_code == 200
    assert platform.asked == []


@pytest.mark.parametrize("section", SECTIONS)
def test_the_setting(section: str, gate: RecordingGate) -> None:
    settings = load_settings(None, {section: {**SECTIONS[section], "upstream_url": "https://platform/auth"}})
    hooks = IngestServers(settings).hooks(gate)
    assert all(isinstance(one, ChainedHooks) for one in hooks)


def _starlette(response: httpx.Response) -> Response:
    return Response(response.content, response.status_code, dict(response.headers))
