"""The whole product with nginx-rtmp as shipped: ffmpeg publishes calm, then violent footage."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from rich.progress import Progress

from benchmarks._reconnects import reconnects
from benchmarks.servers.flv_publisher import flv_messages
from benchmarks.servers.nginx_rtmp import NginxRtmp, available
from benchmarks.servers.publisher import Publisher
from edge.api.auth import Role
from edge.cli.demo_footage import CALM_MS, DemoFootage
from edge.cli.operator_client import GateConnection
from edge.contract.gen import operator_pb2
from edge.gate_process import GateProcess
from edge.servers.nginx_rtmp.stat_page import StatPage
from tests.conftest import require
from tests.running_gate import PATIENCE_S, block, evidenced, metrics, until_metric
from tests.second_publish import PublishesAgain

pytestmark = pytest.mark.integration
SECRET = "a-secret~of.the-hooks"


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[NginxRtmp]:
    require(available(), "nginx with libnginx-mod-rtmp, or ffmpeg,")
    with NginxRtmp(tmp_path / "nginx") as server:
        yield server


def config_for(nginx: NginxRtmp) -> str:
    return f"""
[workers]
count = 1
[http]
hook_secret = "{SECRET}"
[nginx_rtmp]
trust_broadcaster = true
control_url = "{nginx.control_url}"
stat_url = "{nginx.stat_url}"
pull_url = "{nginx.pull_url}"
pull_wait_ms = 5000
attribute_arguments = ["device"]
"""


def test_calm_then_violent_is_admitted_pulled_cut_and_kept_out(
    footage: DemoFootage, programme: Path, nginx: NginxRtmp, tmp_path: Path
) -> None:
    with GateProcess(tmp_path / "gate", config=config_for(nginx)) as gate:
        nginx.start(gate.http, SECRET)
        url = nginx.url("cam", "user=u42&key=sek&name=other")
        with Publisher(url, programme) as publisher:
            assert publisher.wait(PATIENCE_S) != 0, "ffmpeg ends with an error when it is cut"

        incident = evidenced(gate, "u42")
        assert (incident.server, incident.app, incident.name) == ("nginx-rtmp", "live", "cam")
        assert incident.verdict.pts_ms >= footage.violation_ms, "the calm part was cut"
        assert incident.confirmed_by in {"hook", "state_api"}
        assert incident.durable_wall_ms > 0
        assert incident.durable_wall_ms <= incident.cut_asked_wall_ms <= incident.cut_confirmed_wall_ms
        assert len(pictures(Path(incident.evidence_path))) > 25, "more than the last second before the cut"

        with Publisher(url, programme) as again:
            assert again.wait(PATIENCE_S) != 0
        said = metrics(gate)
        assert 'edge_admissions_total{reason="admitted"} 1.0' in said
        assert 'edge_admissions_total{reason="blocked"} 1.0' in said

        with Publisher(nginx.url("cam2", "user=u43"), programme) as other:
            until_metric(gate, 'edge_admissions_total{reason="admitted"} 2.0')
            assert other.running
        assert "sek" not in gate.log().replace(SECRET, "")
        assert SECRET not in gate.log()
        assert gate.stop() == 0


@pytest.mark.parametrize(
    ("kind", "subject", "query"),
    [("broadcaster", "u42", "user=u42"), ("attribute", "device=d9", "user=u42&device=d9")],
)
def test_a_block_by_hand_cuts_the_running_stream(
    kind: str, subject: str, query: str, programme: Path, nginx: NginxRtmp, tmp_path: Path
) -> None:
    with GateProcess(tmp_path / "gate", config=config_for(nginx)) as gate:
        nginx.start(gate.http, SECRET)
        with (
            Publisher(nginx.url("cam", query)) as publisher,
            Publisher(nginx.url("b", "user=u43&device=d8")) as other,
        ):
            until_metric(gate, 'edge_admissions_total{reason="admitted"} 2.0')
            block(gate, subject, kind)
            assert publisher.wait(PATIENCE_S) != 0
            assert other.running
        assert kept_out(gate, nginx.url("cam", query), programme)
        assert 'edge_admissions_total{reason="blocked"} 40.0' in metrics(gate)


def test_every_stream_of_an_nginx_with_several_workers_is_watched(tmp_path: Path) -> None:
    require(available(), "nginx with libnginx-mod-rtmp, or ffmpeg,")
    nginx = NginxRtmp(tmp_path / "nginx", workers=4)
    with nginx, GateProcess(tmp_path / "gate", config=config_for(nginx)) as gate:
        nginx.start(gate.http, SECRET)
        with (
            Publisher(nginx.url("a", "user=ua")),
            Publisher(nginx.url("b", "user=ub")),
            GateConnection(gate.grpc, gate.tokens).operator(Role.VIEWER) as (stub, metadata),
        ):
            deadline = time.monotonic() + PATIENCE_S
            judged: set[str] = set()
            while judged != {"a", "b"}:
                assert time.monotonic() < deadline, (judged, gate.log()[-3000:])
                streams = stub.ListStreams(operator_pb2.ListStreamsRequest(), metadata=metadata).streams
                judged = {stream.name for stream in streams if stream.samples}
                time.sleep(0.1)


def test_a_publisher_that_ends_by_itself_is_forgotten(nginx: NginxRtmp, tmp_path: Path) -> None:
    with GateProcess(tmp_path / "gate", config=config_for(nginx)) as gate:
        nginx.start(gate.http, SECRET)
        with Publisher(nginx.url("cam", "user=u42")):
            until_metric(gate, "edge_streams 1.0")
        until_metric(gate, "edge_streams 0.0")


def test_a_second_publish_on_the_connection_of_a_watched_stream_ends_both(
    programme: Path, nginx: NginxRtmp, tmp_path: Path
) -> None:
    with GateProcess(tmp_path / "gate", config=config_for(nginx)) as gate:
        nginx.start(gate.http, SECRET)
        still_published = asyncio.run(publishes_again(gate, nginx, programme))
        assert not still_published, "the media of the first goes on"
        until_metric(gate, "edge_streams 0.0")
        assert 'edge_admissions_total{reason="admitted"} 1.0' in metrics(gate)


async def publishes_again(gate: GateProcess, nginx: NginxRtmp, programme: Path) -> bool:
    """Publishes one name, and another on the same connection once the first is watched.

    Returns whether anything is on the air after nginx has closed the connection.
    """
    publisher = await PublishesAgain.connect(nginx.url("first", "user=u42"))
    media = asyncio.create_task(send_calm(publisher, programme))
    await asyncio.to_thread(until_metric, gate, "edge_streams 1.0")
    page = StatPage(nginx.stat_url)
    publisher.publish("second?user=innocent")
    async with asyncio.timeout(PATIENCE_S):
        await publisher.wait_closed()
    with contextlib.suppress(ConnectionError):
        await media
    stat = await page.read()
    assert stat is not None
    await page.aclose()
    await publisher.close()
    return any(client.publishing for client in stat.clients)


async def send_calm(publisher: PublishesAgain, programme: Path) -> None:
    """Repeats the first frames of the programme until the connection is closed."""
    messages = [message for message in flv_messages(programme) if message.timestamp < CALM_MS // 2]
    started = time.monotonic()
    for number in itertools.count():
        for message in messages:
            stamp = message.timestamp + number * CALM_MS // 2
            await asyncio.sleep(max(0.0, started + stamp / 1000 - time.monotonic()))
            await publisher.send(message, stamp)


def kept_out(gate: GateProcess, url: str, programme: Path) -> bool:
    """Whether all of 40 publishes in a tight loop are refused."""
    with Progress(disable=True) as progress:
        said = asyncio.run(reconnects(gate, url, programme, 40, asks_first=True, progress=progress))
    return not (said["got_in"] or said["admitted_by_gate"] or said["no_answer"])


def pictures(path: Path) -> list[int]:
    """Presentation times of all frames that decode, in milliseconds."""
    with av.open(str(path)) as container:
        return [round((frame.time or 0) * 1000) for frame in container.decode(video=0)]
