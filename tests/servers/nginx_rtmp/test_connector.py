"""nginx's answers, genuine and distorted by a hostile client."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import StreamId, pull_token
from edge.servers.connector import CutTarget
from edge.servers.nginx_rtmp.connector import NginxRtmpConnector
from edge.servers.nginx_rtmp.settings import NginxRtmpSection
from edge.servers.nginx_rtmp.stat_page import StatClient, StatPage, parse_stat
from edge.servers.nginx_rtmp.worker_processes import worker_count
from tests.slow_callbacks import slow_callbacks

TARGET = CutTarget("st1", "live", "show", "7")


def page(
    *, flashver: str = "FMLE/3.0", name: str = "show", pid: str = "4711", publishing: str = "<publishing/>"
) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8" ?>\n<?xml-stylesheet type="text/xsl" href="stat.xsl" ?>\n'
        f"<rtmp><pid>{pid}</pid><server><application><name>live</name><live>"
        f"<stream><name>{name}</name>"
        f"<client><id>7</id><flashver>{flashver}</flashver>{publishing}<active/></client>"
        "<client><id>8</id><pageurl>edge-gate:st1</pageurl><active/></client>"
        "<client><id>9</id><active/></client></stream></live></application></server></rtmp>"
    ).encode()


def test_publisher_and_players() -> None:
    stat = parse_stat(page())
    assert stat is not None
    assert stat.pid == "4711"
    assert stat.publishes("live", "show", "7")
    assert not stat.publishes("live", "show", "8")
    assert not stat.publishes("live", "other", "7")
    assert not stat.publishes("app", "show", "7")
    assert stat.publishing("7") == StatClient("live", "show", "7", publishing=True)
    assert stat.publishing("8") is None
    assert stat.players("live", "show", pull_token(StreamId("st1"))) == {"8"}
    assert not stat.players("live", "show", pull_token(StreamId("st2")))
    assert StatClient("live", "show", "9", publishing=False) in stat.clients


def wide_page(streams: int, player: str = "<client><id>8</id><active/></client>") -> bytes:
    """A page with many streams, each with many players. Names are of several bytes a character."""
    one = (
        "<stream><name>show{0}é</name><client><id>{0}</id><publishing/><active/></client>{1}</stream>".format
    )
    head, _, tail = page().partition(b"<stream>")
    body = "".join(one(number, 20 * player) for number in range(streams)).encode()
    return head + body + tail.partition(b"</stream>")[2]


def test_a_page_is_read_in_slices_that_split_what_they_like() -> None:
    stat = parse_stat(wide_page(3_000))
    assert stat is not None
    assert len(stat.clients) == 21 * 3_000
    assert stat.publishes("live", "show2999é", "2999")


@pytest.mark.parametrize("hidden", ["<!DOCTYPE r>", "<!DOC\x01TYPE r>", "<!ENT\x0bITY a 'b'>"])
def test_entities_are_refused_wherever_they_are(hidden: str) -> None:
    assert parse_stat(page(name=hidden)) is None
    for padding in range(65_300, 65_560, 7):
        assert parse_stat(page(flashver="x" * padding, name=hidden)) is None


async def test_a_page_of_1000_streams_does_not_hold_up_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = wide_page(1_000)
    pages = StatPage("http://nginx/stat", transport=httpx.MockTransport(lambda _: answer(content)))
    with slow_callbacks(monkeypatch) as slow:
        stat = await asyncio.get_running_loop().create_task(pages.read())
    assert stat is not None
    assert len(stat.clients) == 21_000
    assert not slow
    await pages.aclose()


def answer(content: bytes) -> httpx.Response:
    return httpx.Response(200, content=content)


@pytest.mark.parametrize("flashver", ["\x01\x02", "\x0b", "\ufffe", "a\x00b"])
def test_bytes_that_a_client_slips_in_hide_nobody(flashver: str) -> None:
    stat = parse_stat(page(flashver=flashver))
    assert stat is not None
    assert stat.publishes("live", "show", "7")


def test_bytes_that_are_not_utf8_hide_nobody() -> None:
    stat = parse_stat(page(flashver="XX").replace(b"XX", b"\xff\xfe\xc3"))
    assert stat is not None
    assert stat.publishes("live", "show", "7")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not found",
        b"<html><body>404</body></html>",
        page()[:-20],
        b"<rtmp>" * 10,
        b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><rtmp><pid>&b;</pid></rtmp>',
    ],
)
def test_what_is_not_a_stat_page_tells_nothing(text: bytes) -> None:
    assert parse_stat(text) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_a_page_or_none(text: bytes) -> None:
    assert parse_stat(text) is None


@given(st.text(max_size=60))
def test_any_escaped_flashver_leaves_the_page_readable(flashver: str) -> None:
    escaped = flashver.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    raw = page(flashver="XX").replace(b"XX", escaped.encode("utf-8", "surrogatepass"))
    stat = parse_stat(raw)
    assert stat is not None
    assert stat.publishes("live", "show", "7")


class Nginx:
    """nginx's control and stat locations. Several workers take calls in turn."""

    def __init__(self, workers: list[bytes], drops: list[str | int]) -> None:
        self.workers = workers
        self.drops = drops
        self.requests: list[httpx.URL] = []
        self.looks = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url)
        if request.url.path == "/stat":
            self.looks += 1
            return httpx.Response(200, content=self.workers[(self.looks - 1) % len(self.workers)])
        answer = self.drops.pop(0) if self.drops else "0"
        if isinstance(answer, int):
            return httpx.Response(answer)
        return httpx.Response(200, text=answer)


def connected(nginx: Nginx) -> NginxRtmpConnector:
    return NginxRtmpConnector(at("http://nginx"), transport=httpx.MockTransport(nginx))


def at(url: str) -> NginxRtmpSection:
    return NginxRtmpSection(control_url=f"{url}/control", stat_url=f"{url}/stat")


HAS = page(pid="remote-1")
HAS_NOT = page(pid="remote-1", publishing="")
OTHER_HAS_NOT = page(pid="remote-2", publishing="")


async def test_a_drop_names_app_name_and_connection() -> None:
    nginx = Nginx([HAS], ["1"])
    attempt = await connected(nginx).cut_publisher(TARGET)
    assert (attempt.asked, attempt.closed) == (True, 1)
    assert str(nginx.requests[0]) == "http://nginx/control/drop/publisher?app=live&name=show&clientid=7"


@pytest.mark.parametrize(
    "target",
    [CutTarget("s", "", "show", "7"), CutTarget("s", "live", "", "7"), CutTarget("s", "live", "show", "")],
)
async def test_a_drop_that_would_hit_others_is_not_sent(target: CutTarget) -> None:
    nginx = Nginx([HAS], ["1"])
    assert not (await connected(nginx).cut_publisher(target)).asked
    assert not nginx.requests


async def test_zero_is_asked_of_the_other_workers() -> None:
    nginx = Nginx([HAS], ["0", "0", "0", "1"])
    assert (await connected(nginx).cut_publisher(TARGET)).closed == 1
    assert len(nginx.requests) == 5


@pytest.mark.parametrize("answer", [500, 404, 403, "one", "-1", "", "1" * 65, "²"])
async def test_an_answer_that_is_no_count_is_no_cut(answer: str | int) -> None:
    attempt = await connected(Nginx([HAS], [answer])).cut_publisher(TARGET)
    assert (attempt.asked, attempt.closed) == (False, None)
    assert attempt.detail


async def test_nginx_away() -> None:
    connector = NginxRtmpConnector(at("http://127.0.0.1:9"))
    assert not (await connector.cut_publisher(TARGET)).asked
    assert await connector.is_live(TARGET) is None
    await connector.aclose()


async def test_another_worker_that_does_not_know_it_proves_nothing() -> None:
    connector = connected(Nginx([OTHER_HAS_NOT, HAS_NOT], []))
    assert [await connector.is_live(TARGET) for _ in range(3)] == [None] * 3


async def test_its_own_worker_that_no_longer_has_it_proves_the_end() -> None:
    nginx = Nginx([OTHER_HAS_NOT, HAS], [])
    connector = connected(nginx)
    assert await connector.is_live(TARGET) is True
    nginx.workers = [OTHER_HAS_NOT, HAS_NOT]
    assert await connector.is_live(TARGET) is False


async def test_dropped_by_its_worker_and_not_seen_again_is_gone() -> None:
    connector = connected(Nginx([OTHER_HAS_NOT, HAS_NOT], ["1"]))
    assert (await connector.cut_publisher(TARGET)).closed == 1
    assert await connector.is_live(TARGET) is False


async def test_a_remote_worker_that_never_had_it_proves_nothing_however_often_it_answers() -> None:
    """An old worker may still have the connection: after a reload it keeps its publishers and answers no
    call."""
    nginx = Nginx([HAS_NOT], [])
    connector = connected(nginx)
    assert [await connector.is_live(TARGET) for _ in range(3)] == [None] * 3
    assert (await connector.cut_publisher(TARGET)).closed == 0
    assert nginx.requests[-1].path == "/control/drop/publisher"
    assert [request.path for request in nginx.requests].count("/control/drop/publisher") == 1


async def test_a_connection_that_publishes_under_another_name_is_not_gone() -> None:
    connector = connected(Nginx([page(pid="remote-1", name="other")], ["1"]))
    await connector.cut_publisher(TARGET)
    assert await connector.is_live(TARGET) is True


async def test_a_page_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.servers.nginx_rtmp.stat_page.MAX_STAT_BYTES", len(HAS) - 1)
    assert await connected(Nginx([HAS], [])).is_live(TARGET) is None


def processes(root: Path, names: dict[str, str], children: str) -> Path:
    for pid, name in names.items():
        (root / pid).mkdir()
        (root / pid / "cmdline").write_bytes(name.encode() + b"\0")
        (root / pid / "stat").write_text(f"{pid} (ng) inx) S 10 1 1 0 -1\n")
    (root / "10" / "task" / "10").mkdir(parents=True)
    (root / "10" / "task" / "10" / "children").write_text(children)
    return root


def test_workers_are_counted_with_those_that_shut_down(tmp_path: Path) -> None:
    names = {
        "11": "nginx: worker process",
        "12": "nginx: worker process is shutting down",
        "13": "nginx: cache manager process",
    }
    proc = processes(tmp_path, names, "11 12 13 14")
    assert worker_count("11", proc) == 2
    assert worker_count("13", proc) is None
    assert worker_count("99", proc) is None
    assert worker_count("../11", proc) is None


def test_one_worker(tmp_path: Path) -> None:
    assert worker_count("11", processes(tmp_path, {"11": "nginx: worker process"}, "11")) == 1
