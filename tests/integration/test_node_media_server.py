"""The whole product with a real Node-Media-Server 4.4.3 as shipped."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from rich.progress import Progress

from benchmarks._reconnects import reconnects
from benchmarks.servers.node_media_server import NodeMediaServer, available
from benchmarks.servers.publisher import PATTERN, Publisher
from benchmarks.servers.server_process import free_port
from edge.cli.demo_footage import DemoFootage
from edge.gate_process import GateProcess
from edge.ingest.rtmp_client import RtmpPublisher
from edge.servers.connector import CutTarget
from edge.servers.node_media_server.connector import NodeMediaServerConnector, bearer_token
from edge.servers.node_media_server.settings import NodeMediaServerSection
from edge.supervise.cutter import Cutter
from tests.conftest import require
from tests.running_gate import PATIENCE_S, block, evidenced, metrics, until_metric

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SECRET = "a-secret~of.the-hooks"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NodeMediaServer]:
    require(available(), "node with npm, or ffmpeg,")
    with NodeMediaServer(tmp_path / "server") as server:
        yield server


def section(server: NodeMediaServer, secret: str) -> NodeMediaServerSection:
    return NodeMediaServerSection(
        trust_broadcaster=True, api_url=server.api_url, jwt_secret=SecretStr(secret)
    )


@pytest.fixture
async def connector(server: NodeMediaServer) -> AsyncIterator[NodeMediaServerConnector]:
    connector = NodeMediaServerConnector(section(server, server.jwt_secret))
    yield connector
    await connector.aclose()


def config_for(server: NodeMediaServer, pull_url: str | None = None) -> str:
    return f"""
[workers]
count = 1
[http]
hook_secret = "{SECRET}"
[node_media_server]
trust_broadcaster = true
api_url = "{server.api_url}"
jwt_secret = "{server.jwt_secret}"
pull_url = "{pull_url or server.pull_url}"
"""


@pytest.mark.parametrize("pull", ["rtmp", "http-flv"])
def test_calm_then_violent_is_watched_cut_and_kept_out(
    pull: str, footage: DemoFootage, programme: Path, server: NodeMediaServer, tmp_path: Path
) -> None:
    pull_url = server.pull_url if pull == "rtmp" else f"{server.api_url}/{{app}}/{{name}}.flv"
    with GateProcess(tmp_path / "gate", config=config_for(server, pull_url)) as gate:
        server.start(gate.http, SECRET)
        url = server.url("cam", "user=u42&key=sek&name=other")
        with Publisher(url, programme) as publisher:
            assert publisher.wait(PATIENCE_S) != 0, "ffmpeg ends with an error when it is cut"

        incident = evidenced(gate, "u42")
        assert (incident.server, incident.app, incident.name) == ("node-media-server", "live", "cam")
        assert incident.verdict.pts_ms >= footage.violation_ms, "the calm part was cut"
        assert incident.confirmed_by == "state_api"
        assert 0 < incident.durable_wall_ms <= incident.cut_asked_wall_ms <= incident.cut_confirmed_wall_ms

        with Publisher(url, programme) as again:
            assert again.wait(PATIENCE_S) != 0
        until_metric(gate, 'edge_admissions_total{reason="blocked"} 1.0')
        with Publisher(server.url("cam", "user=u43&user=u42"), programme) as twofold:
            assert twofold.wait(PATIENCE_S) != 0, "it names two broadcasters"
        assert 'edge_admissions_total{reason="admitted"} 1.0' in metrics(gate)

        with Publisher(server.url("cam2", "user=u43"), programme) as other:
            until_metric(gate, 'edge_admissions_total{reason="admitted"} 2.0')
            assert other.running
        log = gate.log()
        assert "sek" not in log.replace(SECRET, "")
        assert SECRET not in log
        assert server.jwt_secret not in log
        assert gate.stop() == 0


def test_a_publisher_over_http_is_cut_as_well(server: NodeMediaServer, tmp_path: Path) -> None:
    with GateProcess(tmp_path / "gate", config=config_for(server)) as gate:
        server.start(gate.http, SECRET)
        with (
            HttpPublisher(server.flv_url("cam", "user=u42")) as publisher,
            Publisher(server.url("b", "user=u43")) as other,
        ):
            until_metric(gate, 'edge_admissions_total{reason="admitted"} 2.0')
            block(gate, "u42")
            assert publisher.wait(PATIENCE_S) != 0
            assert other.running
        with HttpPublisher(server.flv_url("cam", "user=u42")) as again:
            assert again.wait(PATIENCE_S) != 0
        until_metric(gate, 'edge_admissions_total{reason="blocked"} 1.0')


def test_a_second_publisher_of_a_running_name_is_refused_and_not_watched(
    server: NodeMediaServer, tmp_path: Path
) -> None:
    with GateProcess(tmp_path / "gate", config=config_for(server)) as gate:
        server.start(gate.http, SECRET)
        with Publisher(server.url("cam", "user=u42")) as first:
            until_metric(gate, "edge_streams 1.0")
            with Publisher(server.url("cam", "user=intruder")) as second:
                assert second.wait(PATIENCE_S) != 0
            until_metric(gate, 'edge_admissions_total{reason="admitted"} 2.0')
            until_metric(gate, "edge_streams 1.0")
            # A block of the intruder must not reach the first publisher's stream.
            block(gate, "intruder")
            assert first.running
            block(gate, "u42")
            assert first.wait(PATIENCE_S) != 0


def test_a_publisher_that_ends_by_itself_is_forgotten(server: NodeMediaServer, tmp_path: Path) -> None:
    with GateProcess(tmp_path / "gate", config=config_for(server)) as gate:
        server.start(gate.http, SECRET)
        with Publisher(server.url("cam", "user=u42")):
            until_metric(gate, "edge_streams 1.0")
        until_metric(gate, "edge_streams 0.0")


def test_who_began_while_the_gate_was_away_is_judged_when_it_is_back(
    programme: Path, server: NodeMediaServer, tmp_path: Path
) -> None:
    hooks = f"127.0.0.1:{free_port()}"
    server.start(hooks, SECRET)
    with (
        Publisher(server.url("cam", "user=u42")) as blocked,
        Publisher(server.url("b", "user=u43")) as other,
    ):
        with GateProcess(tmp_path / "gate", config=config_for(server), http=hooks) as gate:
            until_metric(gate, 'edge_admissions_total{reason="admitted"} 2.0')
            until_metric(gate, "edge_streams 2.0")
            gate.kill()
        # The next gate finds the streams without another hook.
        with GateProcess(tmp_path / "gate", config=config_for(server), http=hooks) as gate:
            until_metric(gate, "edge_streams 2.0")
            block(gate, "u42")
            assert blocked.wait(PATIENCE_S) != 0
            assert other.running
            with Progress(disable=True) as progress:
                url = server.url("cam", "user=u42")
                said = asyncio.run(reconnects(gate, url, programme, 40, asks_first=False, progress=progress))
            # Any publish admitted meanwhile is the other publisher's, for whom the server asks again.
            assert said["got_in"] == said["no_answer"] == 0


async def test_the_connector_tells_sessions_apart(
    server: NodeMediaServer, connector: NodeMediaServerConnector
) -> None:
    server.start("127.0.0.1:9")  # The gate is away, and the server lets everybody publish.
    with Publisher(server.url("cam")) as publisher:
        target = CutTarget("st1", "live", "cam", await session_of(server, "cam"))
        assert await connector.publishes(target) is True
        assert await connector.is_live(target) is True
        other = CutTarget("st2", "live", "cam", "0123456789abcdef")
        assert await connector.publishes(other) is False
        assert await connector.is_live(other) is False
        assert (await connector.cut_publisher(other)).closed == 0

        stranger = NodeMediaServerConnector(section(server, "another secret"))
        assert not (await stranger.cut_publisher(target)).asked
        assert await stranger.is_live(target) is None
        assert await stranger.publishes(target) is None
        await stranger.aclose()
        assert publisher.running

        assert (await connector.cut_publisher(target)).closed == 1
        await asyncio.to_thread(publisher.wait, PATIENCE_S)
        assert await connector.is_live(target) is False
        assert await connector.publishes(target) is False, "held open for a resume, but nobody publishes"


async def test_a_publisher_that_does_not_hang_up_is_cut_as_well(
    server: NodeMediaServer, connector: NodeMediaServerConnector
) -> None:
    server.start("127.0.0.1:9")
    stubborn = await RtmpPublisher.connect(server.url("cam"))
    try:
        target = CutTarget("st1", "live", "cam", await session_of(server, "cam"))
        cutter = Cutter()
        outcome = await cutter.cut_stream(target, connector, limit_ms=10_000)
        assert (outcome.confirmed, outcome.by) == (True, "state_api")
        await cutter.close()
    finally:
        await stubborn.close()


class HttpPublisher(Publisher):
    """ffmpeg that publishes the test pattern by HTTP POST."""

    def __init__(self, url: str) -> None:
        codec = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30")
        options = ("-method", "POST", "-f", "flv")
        self._process = subprocess.Popen(
            ["ffmpeg", "-nostdin", "-v", "error", *PATTERN, "-an", *codec, *options, url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


async def session_of(server: NodeMediaServer, name: str) -> str:
    async with httpx.AsyncClient(base_url=server.api_url, trust_env=False) as http:
        for _ in range(int(PATIENCE_S / 0.05)):
            headers = {"Authorization": f"Bearer {bearer_token(server.jwt_secret, int(time.time()))}"}
            response = await http.get(f"/api/v1/streams/live/{name}", headers=headers)
            if response.status_code == 200 and response.json()["data"]["publisher"]:
                return str(response.json()["data"]["publisher"]["id"])
            await asyncio.sleep(0.05)
    raise AssertionError(server.output())
