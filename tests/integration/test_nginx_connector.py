"""The hooks and the connector against a real nginx-rtmp with real ffmpeg publishers."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import httpx
import pytest
import uvicorn

from benchmarks.servers.nginx_rtmp import NginxRtmp
from benchmarks.servers.publisher import Publisher
from edge.domain import Publish, StreamId, new_stream_id, pull_token
from edge.errors import CapacityExceeded
from edge.notices.notice import notice
from edge.reasons import AdmissionReason
from edge.servers.connector import CutTarget
from edge.servers.gatekeeper import Admission
from edge.servers.http_app import create_app
from edge.servers.nginx_rtmp.connector import NginxRtmpConnector
from edge.servers.nginx_rtmp.hooks import NginxRtmpHooks
from edge.servers.nginx_rtmp.settings import NginxRtmpSection
from edge.servers.nginx_rtmp.stat_page import Stat, StatPage
from edge.supervise.cutter import Cutter
from edge.telemetry.records import ServerNoticed
from tests.second_publish import PublishesAgain, PublishesTwo

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0
SECRET = "s3cr3t-~."
SMALL_PROBE = {"analyzeduration": "1", "probesize": "32"}


@dataclass
class RecordingGate:
    """Admits everybody whom it does not block, pulls with PyAV as workers do, and records its calls."""

    blocked: set[str] = field(default_factory=set)
    full: bool = False
    pulls: bool = True
    publishes: dict[StreamId, Publish] = field(default_factory=dict)
    first_pts_ms: dict[StreamId, int] = field(default_factory=dict)
    ended: list[tuple[str, str, str, str]] = field(default_factory=list)
    turned: list[tuple[str, str]] = field(default_factory=list)
    on_end: Callable[[str], object] = lambda connection: None
    _pulling: set[asyncio.Task[None]] = field(default_factory=set)

    async def admit(self, publish: Publish) -> Admission:
        if publish.broadcaster in self.blocked:
            return Admission(False, None, AdmissionReason.BLOCKED, notice=notice("blocked"))
        stream_id = new_stream_id()
        self.publishes[stream_id] = publish
        return Admission(True, stream_id, AdmissionReason.ADMITTED)

    def turned_away(self, publish: Publish, reason: str, detail: str = "") -> None:
        self.turned.append((publish.broadcaster, reason))

    def noticed(self, notice: ServerNoticed) -> None:
        """Nobody asks for these."""

    async def attach(self, stream_id: StreamId, url: str) -> None:
        if self.full:
            raise CapacityExceeded("no worker has room")
        if self.pulls:
            self._pulling.add(asyncio.create_task(asyncio.to_thread(self._pull, stream_id, url)))

    def _pull(self, stream_id: StreamId, url: str) -> None:
        options = {**SMALL_PROBE, "rtmp_pageurl": pull_token(stream_id)}
        with av.open(url, options=options, timeout=PATIENCE_S) as container:
            for frame in container.decode(video=0):
                self.first_pts_ms[stream_id] = round((frame.time or 0.0) * 1000)
                return

    async def pull_anew(self, stream_id: StreamId) -> bool:
        return False

    async def is_watched(self, stream_id: StreamId) -> bool:
        return False

    async def still_admitted(self, stream_id: StreamId) -> bool:
        return self.publishes[stream_id].broadcaster not in self.blocked

    async def publish_ended(self, server: str, connection: str, app: str, name: str) -> None:
        self.ended.append((server, connection, app, name))
        self.on_end(connection)

    def the(self, broadcaster: str) -> tuple[StreamId, Publish]:
        [found] = [(i, p) for i, p in self.publishes.items() if p.broadcaster == broadcaster]
        return found


@asynccontextmanager
async def serving(gate: RecordingGate, settings: NginxRtmpSection) -> AsyncIterator[str]:
    connector = NginxRtmpConnector(settings)
    hooks = NginxRtmpHooks(gate, connector, settings, SECRET)
    server = uvicorn.Server(uvicorn.Config(create_app([hooks]), port=0, lifespan="off", log_config=None))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"{host}:{port}"
    finally:
        server.should_exit = True
        await task
        await hooks.aclose()
        await connector.aclose()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE_S} s")


async def until_answered(page: StatPage, condition: Callable[[Stat], bool]) -> None:
    """Waits for a stat page that meets the condition."""
    for _ in range(int(PATIENCE_S / 0.02)):
        stat = await page.read()
        if stat is not None and condition(stat):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE_S} s")


def settings_for(nginx: NginxRtmp, **more: object) -> NginxRtmpSection:
    settings = NginxRtmpSection(
        trust_broadcaster=True,
        control_url=nginx.control_url,
        stat_url=nginx.stat_url,
        pull_url=nginx.pull_url,
        pull_wait_ms=5000,
    )
    return settings.model_copy(update=more)


def target_of(stream_id: StreamId, publish: Publish) -> CutTarget:
    return CutTarget(stream_id, publish.app, publish.name, publish.connection, publish.address)


@pytest.fixture
async def connector(nginx: NginxRtmp) -> AsyncIterator[NginxRtmpConnector]:
    connector = NginxRtmpConnector(settings_for(nginx))
    yield connector
    await connector.aclose()


async def test_admitted_pulled_from_frame_0_cut_and_refused(
    nginx: NginxRtmp, connector: NginxRtmpConnector
) -> None:
    gate, cutter = RecordingGate(), Cutter()
    async with serving(gate, settings_for(nginx)) as address:
        nginx.start(address, SECRET)
        url = nginx.url("show", "user=u42&key=k1&name=other&app=other")
        with Publisher(url) as publisher:
            await until(lambda: len(gate.first_pts_ms) == 1)
            stream_id, publish = gate.the("u42")
            assert (publish.app, publish.name, publish.address) == ("live", "show", "127.0.0.1")
            assert publish.attributes == {"stream_key": "k1"}
            assert gate.first_pts_ms[stream_id] == 0
            target = target_of(stream_id, publish)
            assert await connector.is_live(target) is True

            wrong = dataclasses.replace(target, connection="999999")
            attempt = await connector.cut_publisher(wrong)
            assert (attempt.asked, attempt.closed) == (True, 0)
            assert publisher.running

            outcome = await cutter.cut_stream(target, connector, limit_ms=10_000)
            assert outcome.confirmed
            assert outcome.by == "state_api"
            await asyncio.to_thread(publisher.wait, PATIENCE_S)
            await until(lambda: ("nginx-rtmp", publish.connection, "live", "show") in gate.ended)
            assert await connector.is_live(target) is False

        gate.blocked.add("u42")
        with Publisher(url) as again:
            assert await asyncio.to_thread(again.wait, PATIENCE_S) != 0
        assert len(gate.publishes) == 1
    await cutter.close()


async def test_the_hook_alone_proves_a_cut_where_the_stat_page_is_away(nginx: NginxRtmp) -> None:
    gate, cutter = RecordingGate(), Cutter()
    blind = NginxRtmpConnector(settings_for(nginx, stat_url="http://127.0.0.1:9/stat"))
    async with serving(gate, settings_for(nginx)) as address:
        nginx.start(address, SECRET)
        with Publisher(nginx.url("show", "user=u42")) as publisher:
            await until(lambda: len(gate.first_pts_ms) == 1)
            stream_id, publish = gate.the("u42")
            gate.on_end = lambda connection: cutter.confirm(stream_id, "hook")
            outcome = await cutter.cut_stream(target_of(stream_id, publish), blind, limit_ms=10_000)
            assert outcome.confirmed
            assert outcome.by == "hook"
            assert await asyncio.to_thread(publisher.wait, PATIENCE_S) is not None
    await cutter.close()
    await blind.aclose()


async def test_a_cut_leaves_every_other_publisher_alone(
    nginx: NginxRtmp, connector: NginxRtmpConnector
) -> None:
    gate, cutter = RecordingGate(), Cutter()
    async with serving(gate, settings_for(nginx)) as address:
        nginx.start(address, SECRET)
        with Publisher(nginx.url("a", "user=ua")) as one, Publisher(nginx.url("b", "user=ub")) as other:
            await until(lambda: len(gate.first_pts_ms) == 2)
            cut, kept = target_of(*gate.the("ua")), target_of(*gate.the("ub"))
            nameless = await connector.cut_publisher(dataclasses.replace(cut, name=""))
            assert not nameless.asked
            assert (await cutter.cut_stream(cut, connector, limit_ms=10_000)).confirmed
            await asyncio.to_thread(one.wait, PATIENCE_S)
            assert await connector.is_live(kept) is True
            assert other.running
    await cutter.close()


async def test_an_end_that_nginx_does_not_bear_out_is_not_believed(nginx: NginxRtmp) -> None:
    """Replays an old body with the number of a connection that is live now."""
    gate = RecordingGate()
    async with serving(gate, settings_for(nginx)) as address, httpx.AsyncClient() as http:
        nginx.start(address, SECRET)
        with Publisher(nginx.url("show", "user=u42")) as publisher:
            await until(lambda: len(gate.first_pts_ms) == 1)
            _, publish = gate.the("u42")
            body = f"app=live&addr=127.0.0.1&clientid={publish.connection}&call=publish_done&name=show"
            answer = await http.post(
                f"http://{address}/hooks/nginx-rtmp/on_publish_done?secret=s3cr3t-~.",
                content=body,
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
            assert answer.status_code == 200
            assert publisher.running
            assert gate.ended == []
        await until(lambda: gate.ended == [("nginx-rtmp", publish.connection, "live", "show")])


async def test_a_second_publish_of_a_connection_ends_the_first(nginx: NginxRtmp) -> None:
    """nginx would keep the media of the first publish and report only the second. So both are dropped.

    Malformed names are refused before anything else, and nginx drops the connection all the same.
    """
    gate = RecordingGate(pulls=False)
    seconds = {"a": "b?user=u1", "c": "c?user=other", "d": "d?user=u3", "e": "e:e?user=u4"}
    async with serving(gate, settings_for(nginx, pull_wait_ms=0)) as address:
        nginx.start(address, SECRET)
        stat = StatPage(nginx.stat_url)
        running = [await PublishesAgain.connect(nginx.url(name, "user=u3")) for name in seconds]
        assert [publish.name for publish in gate.publishes.values()] == list(seconds)
        for publisher, second in zip(running, seconds.values(), strict=True):
            publisher.publish(second)
        async with asyncio.timeout(PATIENCE_S):
            for publisher in running:
                await publisher.wait_closed()
        seen = await stat.read()
        assert seen is not None
        assert not any(client.publishing for client in seen.clients)
        ended = {(p.server, p.connection, p.app, p.name) for p in gate.publishes.values()}
        await until(lambda: set(gate.ended) == ended)
        assert len(gate.publishes) == len(seconds), "no second publish was let in"
        for publisher in running:
            await publisher.close()
        await stat.aclose()


async def test_two_publishes_of_a_connection_at_once_are_both_refused(nginx: NginxRtmp) -> None:
    gate = RecordingGate(pulls=False)
    async with serving(gate, settings_for(nginx, pull_wait_ms=100)) as address:
        nginx.start(address, SECRET)
        with pytest.raises(ConnectionResetError):
            await PublishesTwo.connect(nginx.url("first", "user=u42"))
        await until(lambda: bool(gate.ended))
        assert len(gate.publishes) == 1
        stat = StatPage(nginx.stat_url)
        seen = await stat.read()
        assert seen is not None
        assert not any(client.publishing for client in seen.clients)
        await stat.aclose()


async def test_after_a_reload_elsewhere_no_cut_is_proven_while_the_old_worker_goes_on(
    tmp_path: Path, nginx: NginxRtmp
) -> None:
    """As for nginx in its own container: the number of workers is unknown."""
    gate, cutter = RecordingGate(pulls=False), Cutter()
    connector = NginxRtmpConnector(settings_for(nginx), count_workers=lambda pid: None)
    async with serving(gate, settings_for(nginx, pull_wait_ms=0)) as address:
        nginx.start(address, SECRET)
        stat = StatPage(nginx.stat_url)
        with Publisher(nginx.url("show", "user=u42")) as publisher:
            await until(lambda: bool(gate.publishes))
            stream_id, publish = gate.the("u42")
            gate.on_end = lambda connection: cutter.confirm(stream_id, "hook")
            target = target_of(stream_id, publish)
            await until_answered(stat, lambda seen: seen.publishes("live", "show", publish.connection))
            seen = await stat.read()
            assert seen is not None
            old = Path("/proc", seen.pid, "cmdline")
            os.kill(int((tmp_path / "nginx" / "nginx.pid").read_text()), signal.SIGHUP)
            await until(lambda: b"shutting down" in old.read_bytes())

            outcome = await cutter.cut_stream(target, connector, limit_ms=1_500)
            assert not outcome.confirmed
            assert publisher.running
            assert gate.ended == []
        outcome = await asyncio.wait_for(cutter.wait(stream_id), PATIENCE_S)
        assert outcome.by == "hook"
        await stat.aclose()
    await cutter.close()
    await connector.aclose()


async def test_a_publisher_that_left_before_the_cut(nginx: NginxRtmp, connector: NginxRtmpConnector) -> None:
    gate, cutter = RecordingGate(), Cutter()
    async with serving(gate, settings_for(nginx)) as address:
        nginx.start(address, SECRET)
        with Publisher(nginx.url("show", "user=u42")):
            await until(lambda: len(gate.first_pts_ms) == 1)
        await until(lambda: bool(gate.ended))
        target = target_of(*gate.the("u42"))
        outcome = await cutter.cut_stream(target, connector, limit_ms=10_000)
        assert (outcome.confirmed, outcome.by) == (True, "already_gone")
    await cutter.close()


@pytest.mark.parametrize("name", ["show.flv.flv", "a%20b", "a:b"])
async def test_a_name_that_would_be_pulled_as_another_is_refused(nginx: NginxRtmp, name: str) -> None:
    gate = RecordingGate()
    async with serving(gate, settings_for(nginx)) as address:
        nginx.start(address, SECRET)
        with Publisher(nginx.url(name)) as publisher:
            assert await asyncio.to_thread(publisher.wait, PATIENCE_S) != 0
    assert not gate.publishes


async def test_without_the_secret_nobody_goes_live(nginx: NginxRtmp) -> None:
    gate = RecordingGate()
    async with serving(gate, settings_for(nginx)) as address:
        nginx.start(address)
        with Publisher(nginx.url("show")) as publisher:
            assert await asyncio.to_thread(publisher.wait, PATIENCE_S) != 0
    assert not gate.publishes


async def test_a_stream_that_cannot_be_watched_does_not_go_live(nginx: NginxRtmp) -> None:
    gate = RecordingGate(full=True)
    async with serving(gate, settings_for(nginx)) as address:
        nginx.start(address, SECRET)
        with Publisher(nginx.url("show")) as publisher:
            assert await asyncio.to_thread(publisher.wait, PATIENCE_S) != 0
        assert [end[0] for end in gate.ended[:1]] == ["nginx-rtmp"]


async def test_blocked_while_the_publish_waits_for_its_pull(nginx: NginxRtmp) -> None:
    gate = RecordingGate(pulls=False)
    async with serving(gate, settings_for(nginx, pull_wait_ms=300)) as address:
        nginx.start(address, SECRET)
        with Publisher(nginx.url("show", "user=u42")) as publisher:
            await until(lambda: bool(gate.publishes))
            gate.blocked.add("u42")
            assert await asyncio.to_thread(publisher.wait, PATIENCE_S) != 0


async def test_a_slow_pull_holds_the_publish_up_only_for_its_limit(nginx: NginxRtmp) -> None:
    gate = RecordingGate(pulls=False)
    async with serving(gate, settings_for(nginx, pull_wait_ms=50)) as address:
        nginx.start(address, SECRET)
        stat = StatPage(nginx.stat_url)
        with Publisher(nginx.url("show", "user=u42")) as publisher:
            await until(lambda: bool(gate.publishes))
            _, publish = gate.the("u42")
            await until_answered(stat, lambda seen: seen.publishes("live", "show", publish.connection))
            assert publisher.running
        await stat.aclose()


async def test_gate_away_means_refused(nginx: NginxRtmp) -> None:
    nginx.start("127.0.0.1:9", SECRET)
    with Publisher(nginx.url("show")) as publisher:
        assert await asyncio.to_thread(publisher.wait, PATIENCE_S) != 0


async def test_several_workers_are_cut_and_never_reported_gone_by_the_wrong_one(
    tmp_path: Path, nginx: NginxRtmp
) -> None:
    gate, cutter = RecordingGate(pulls=False), Cutter()
    with NginxRtmp(tmp_path / "four", workers=4) as four:
        connector = NginxRtmpConnector(settings_for(four))
        async with serving(gate, settings_for(four, pull_wait_ms=0)) as address:
            four.start(address, SECRET)
            with Publisher(four.url("show", "user=u42")) as publisher:
                await until(lambda: bool(gate.publishes))
                stream_id, publish = gate.the("u42")
                gate.on_end = lambda connection: cutter.confirm(stream_id, "hook")
                target = target_of(stream_id, publish)
                looks = [await connector.is_live(target) for _ in range(20)]
                assert False not in looks
                outcome = await cutter.cut_stream(target, connector, limit_ms=20_000)
                assert outcome.confirmed
                assert outcome.by in {"hook", "state_api"}
                await asyncio.to_thread(publisher.wait, PATIENCE_S)
        await connector.aclose()
    await cutter.close()
