"""Undocumented behaviour of Node-Media-Server's API: failures, nonsense, other sessions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from edge.errors import ConfigError
from edge.servers.connector import (
    CutTarget,
)
from edge.servers.node_media_server.connector import (
    NodeMediaServerConnector,
    bearer_token,
)
from edge.servers.node_media_server.settings import NodeMediaServerSection

TARGET = CutTarget("st1", "live", "show", "mb8xyz0abc12")
GONE = {"success": False, "data": {}, "message": "Session not found"}


def section(secret: str) -> NodeMediaServerSection:
    return NodeMediaServerSection(api_url="http://nms/", jwt_secret=SecretStr(secret))


def answering(answer: httpx.Response | Exception) -> tuple[NodeMediaServerConnector, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx.MockTransport(server)
    return NodeMediaServerConnector(section("s3cret"), transport=transport), asked


def stream(session: str, status: str) -> httpx.Response:
    return httpx.Response(
        200, json={"success": True, "data": {"status": status, "publisher": {"id": session}}}
    )


@given(st.text(min_size=1, max_size=40), st.integers(0, 2**40))
def test_the_token_is_what_a_verifier_expects(secret: str, now: int) -> None:
    secret = secret.encode("utf-8", "replace").decode()
    signed, _, signature = bearer_token(secret, now).rpartition(".")
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == digest
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in signed.split("."))
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert claims["exp"] == now + 60


@pytest.mark.parametrize("secret", ["", "ssh-rsa AAAAB3NzaC1yc2E="])
def test_a_secret_that_cannot_sign_is_refused_at_the_start(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"node_media_server\.jwt_secret"):
        NodeMediaServerConnector(section(secret))


async def test_a_cut_names_the_session_and_carries_a_token() -> None:
    connector, asked = answering(httpx.Response(200, json={"success": True, "data": {"id": "x"}}))
    assert await connector.cut_publisher(TARGET) is not None
    assert (asked[0].method, str(asked[0].url)) == ("DELETE", "http://nms/api/v1/sessions/mb8xyz0abc12")
    assert asked[0].headers["authorization"].startswith("Bearer ey")


async def test_a_session_that_is_not_there() -> None:
    connector, _ = answering(httpx.Response(404, json=GONE))
    attempt = await connector.cut_publisher(TARGET)
    assert (attempt.asked, attempt.closed) == (True, 0)
    assert await connector.publishes(TARGET) is False


@pytest.mark.parametrize("connection", ["", "../streams", "a/b", "A", "a" * 65])
async def test_what_is_no_session_id_is_not_asked_for(connection: str) -> None:
    connector, asked = answering(httpx.Response(200, json={"success": True}))
    assert not (await connector.cut_publisher(CutTarget("st1", "live", "show", connection))).asked
    assert not asked


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"success": False, "code": "UNAUTHORIZED"}),
        httpx.Response(500, json={"success": False}),
        httpx.Response(404, text="Cannot GET /api/v1/sessions"),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=["success"]),
        httpx.Response(200, json={"success": "true", "data": {"sessions": {}}}),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(302, headers={"location": "http://elsewhere/"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
)
async def test_nothing_is_concluded_from_nonsense(answer: httpx.Response | Exception) -> None:
    connector, _ = answering(answer)
    attempt = await connector.cut_publisher(TARGET)
    assert (attempt.asked, attempt.closed) == (False, None)
    assert attempt.detail
    assert await connector.is_live(TARGET) is None
    assert await connector.publishes(TARGET) is None


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.servers.json_api.MAX_ANSWER_BYTES", 10)
    connector, _ = answering(httpx.Response(200, json={"success": True, "data": {"sessions": []}}))
    assert await connector.is_live(TARGET) is None


@pytest.mark.parametrize(
    ("session", "status", "live"),
    [
        ("mb8xyz0abc12", "publishing", True),
        ("mb8xyz0abc12", "reconnecting", False),
        ("another", "publishing", False),
        ("another", "idle", False),
    ],
)
async def test_only_the_session_that_publishes_is_the_publisher(
    session: str, status: str, live: bool
) -> None:
    connector, _ = answering(stream(session, status))
    assert await connector.publishes(TARGET) is live


async def test_an_open_session_is_live_whatever_it_does() -> None:
    sessions = {"success": True, "data": {"sessions": [{"id": "a"}, 7, {"id": "mb8xyz0abc12"}]}}
    connector, _ = answering(httpx.Response(200, json=sessions))
    assert await connector.is_live(TARGET) is True
    assert await connector.is_live(CutTarget("st2", "live", "show", "b")) is False
