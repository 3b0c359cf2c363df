"""A gate is killed before its platform hears of a decision. After the restart it tells it once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from edge.api.auth import parse_tokens
from edge.cli.app import app
from edge.contract.gen import operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess
from edge.webhook.signing import new_secret
from tests.webhook.platform import Platform

pytestmark = pytest.mark.integration

CONFIG = """
[workers]
count = 1
[webhook]
url = "{url}"
secret = "{secret}"
first_retry_ms = 20
max_retry_ms = 200
"""


def test_a_killed_gate_tells_the_platform_after_its_restart(tmp_path: Path) -> None:
    old, new = new_secret(), new_secret()
    with Platform(old) as platform:
        port = platform.port
    config = CONFIG.format(url=platform.url, secret=new) + f'previous_secret = "{old}"\n'
    with GateProcess(tmp_path / "gate", config=config) as gate:
        token = parse_tokens(gate.tokens)[0].token.get_secret_value()
        with grpc.insecure_channel(gate.grpc) as channel:
            stub: Any = operator_pb2_grpc.OperatorStub(channel)
            block = stub.AddBlock(
                operator_pb2.AddBlockRequest(subject="anna", duration_ms=3_600_000, reason="spam"),
                metadata=(("authorization", f"Bearer {token}"),),
                timeout=30,
            )
        gate.kill()
    # The receiver still has the old secret. During a rotation both secrets sign.
    with Platform(old, port=port) as platform, GateProcess(tmp_path / "gate", config=config) as gate:
        platform.until(lambda seen: len(seen.taken) >= 2)
        (tmp_path / "edge.toml").write_text(config)
        result = CliRunner().invoke(app, ["webhook", "test", "-c", str(tmp_path / "edge.toml"), "--json"])
        assert result.exit_code == 0, result.output
        assert gate.stop() == 0
    ping = json.loads(result.stdout)
    told = {event["id"]: event for event in platform.taken}
    assert len(told) == len(platform.taken)
    assert told.pop(ping["id"])["type"] == "ping"
    assert {event["type"] for event in told.values()} == {"block.made", "notice"}
    assert {event["data"]["block"]["id"] for event in told.values() if event["type"] == "block.made"} == {
        block.id
    }
    refused = CliRunner().invoke(app, ["webhook", "test", "-c", str(tmp_path / "edge.toml")])
    assert (refused.exit_code, "ConnectError" in refused.output) == (1, True)
