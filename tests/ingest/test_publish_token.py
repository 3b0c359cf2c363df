"""Who publishes to the reference ingest is checked, or nobody is blamed for it by name."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.cli.app import app
from edge.errors import ConfigError, InvalidInput
from edge.ingest import Closed
from edge.ingest.publish_token import MIN_SECRET, PublishTokens, read_publish_tokens
from edge.ingest.settings import ingest_settings
from tests.ingest.conftest import Running, ScriptedGate, StartIngest, StartPublisher

TOKENS = PublishTokens(b"0123456789abcdef0123456789abcdef")
NOW_S = int(time.time())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "publish.secret"
    path.write_bytes(TOKENS.secret + b"\n")
    path.chmod(0o600)
    return path


def test_a_token_proves_its_account_for_what_it_is_made_for() -> None:
    anywhere = TOKENS.issue("u42", 3600, NOW_S)
    assert TOKENS.user_of(anywhere, app="live", name="cam") == "u42"
    there = TOKENS.issue("u42", 3600, NOW_S, app="live", name="cam")
    assert TOKENS.user_of(there, app="live", name="cam") == "u42"
    for app_name, name, problem in (("other", "cam", "another app"), ("live", "other", "another name")):
        with pytest.raises(InvalidInput, match=problem):
            TOKENS.user_of(there, app=app_name, name=name)


def test_what_is_no_token_of_this_server_proves_nothing() -> None:
    other = PublishTokens(b"x" * MIN_SECRET).issue("u42", 3600, NOW_S)
    head, claims, signature = TOKENS.issue("u42", 3600, NOW_S).split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    forged = (
        base64.urlsafe_b64encode(json.dumps({"sub": "v", "exp": NOW_S + 3600}).encode()).rstrip(b"=").decode()
    )
    for token in (
        other,
        f"{head}.{forged}.{signature}",
        f"{none}.{claims}.",
        f"{none}.{forged}.",
        "x",
        "a.b.c",
    ):
        with pytest.raises(InvalidInput, match="token: is not one of this server"):
            TOKENS.user_of(token, app="live", name="cam")
    with pytest.raises(InvalidInput, match="token: is missing"):
        TOKENS.user_of("", app="live", name="cam")
    with pytest.raises(InvalidInput, match="token: has expired"):
        TOKENS.user_of(TOKENS.issue("u42", 3600, NOW_S - 3601), app="live", name="cam")


@given(st.integers(0, 200), st.characters(exclude_categories=["Cs"]))
def test_a_changed_token_proves_nothing_else(position: int, character: str) -> None:
    token = TOKENS.issue("u42", 3600, NOW_S)
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    try:
        assert TOKENS.user_of(changed, app="live", name="cam") == "u42"
    except InvalidInput:
        return
    decoded = [base64.urlsafe_b64decode(part + "==") for part in changed.split(".")]
    assert decoded == [base64.urlsafe_b64decode(part + "==") for part in token.split(".")]


@pytest.mark.parametrize(
    ("user", "lifetime_s"), [("", 60), (" ", 60), ("u\u200b42", 60), ("u42", 0), ("u42", 10**9)]
)
def test_what_makes_no_token(user: str, lifetime_s: int) -> None:
    with pytest.raises(InvalidInput):
        TOKENS.issue(user, lifetime_s, NOW_S)


def test_a_secret_is_long_and_its_owners_alone(secret: Path) -> None:
    assert read_publish_tokens(secret) == TOKENS
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_publish_tokens(secret)
    secret.chmod(0o600)
    secret.write_text("short")
    with pytest.raises(ConfigError, match="32 to 4096 bytes"):
        read_publish_tokens(secret)
    assert "0123" not in repr(TOKENS)


def test_the_command_makes_a_token_and_the_server_wants_something_that_checks(secret: Path) -> None:
    made = CliRunner().invoke(
        app, ["ingest", "token", "u42", "--secret", str(secret), "--for", "1h", "--app", "live", "--json"]
    )
    assert made.exit_code == 0, made.output
    said = json.loads(made.stdout)
    assert TOKENS.user_of(said["token"], app="live", name="cam") == "u42"
    assert 3_500_000 < said["until_wall_ms"] - time.time() * 1000 <= 3_600_000
    # The port is taken, so that the server ends by itself.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = ["ingest", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"]
        for options in (
            [],
            ["--trust-user"],
            ["--token-secret", str(secret)],
            ["--upstream-url", "http://x"],
        ):
            ended = CliRunner().invoke(app, [*listen, *options])
            refused = all(way in ended.stderr for way in ("--token-secret", "--upstream-url", "--trust-user"))
            assert (ended.exit_code, refused) == (1, not options), ended.output
    with pytest.raises(ConfigError, match="exclude each other"):
        ingest_settings(token_secret=secret, trust_user=True)


async def closed(running: Running) -> Closed:
    await running.until(lambda: running.of(Closed))
    return running.of(Closed)[0]


async def test_without_a_token_the_gate_is_not_even_asked(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path, secret: Path
) -> None:
    running = await run_ingest(token_secret=secret)
    for query in ("user=victim", f"user=victim&token={TOKENS.issue('u42', 3600, NOW_S)}", "token=x.y.z"):
        running.events.clear()
        await publish(footage, running.url(query=query)).done()
        assert (await closed(running)).reason == "invalid_input"
    assert gate.admits == []


async def test_a_token_names_the_broadcaster(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path, secret: Path
) -> None:
    running = await run_ingest(token_secret=secret)
    await publish(footage, running.url(query=f"token={TOKENS.issue('u42', 3600, NOW_S)}")).done()
    await closed(running)
    [asked] = gate.admits
    assert (asked.broadcaster, asked.identity_proven) == ("u42", True)


async def test_the_platform_is_asked_before_the_gate_and_proves_the_broadcaster(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path
) -> None:
    asked: list[dict[str, str]] = []
    answers = {"good": 204, "bad": 403, "elsewhere": 302, "silent": None}
    over = threading.Event()

    class Platform(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            asked.append(form)
            if (status := answers[form["key"]]) is None:
                over.wait()
                return
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Platform) as platform:
        thread = threading.Thread(target=platform.serve_forever)
        thread.start()
        try:
            for key in answers:
                running = await run_ingest(
                    upstream_url=f"http://127.0.0.1:{platform.server_port}/auth",
                    upstream_timeout_s=0.25 if key == "silent" else 20,
                )
                await publish(footage, running.url(query=f"user=u42&key={key}")).done()
                assert ((await closed(running)).reason == "publisher") is (key == "good")
        finally:
            over.set()
            await asyncio.to_thread(platform.shutdown)
            thread.join()
    assert [form["key"] for form in asked] == list(answers)
    assert {name: asked[0][name] for name in ("call", "app", "name", "user")} == {
        "call": "publish",
        "app": "live",
        "name": "cam",
        "user": "u42",
    }
    [admitted] = gate.admits
    assert (admitted.broadcaster, admitted.identity_proven) == ("u42", True)


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_name_in_the_url_is_proven_only_where_it_is_trusted(
    gate: ScriptedGate, run_ingest: StartIngest, publish: StartPublisher, footage: Path, trusted: bool
) -> None:
    running = await run_ingest(trust_user=trusted)
    await publish(footage, running.url()).done()
    await closed(running)
    [asked] = gate.admits
    assert (asked.broadcaster, asked.HasField("identity_proven")) == ("u42", True)
    assert asked.identity_proven is trusted
