"""A pull must find the publisher's worker, among viewers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

import httpx

from edge.domain import Publish, StreamId, pull_token
from edge.servers.doubles import GatekeeperDouble
from edge.servers.nginx_rtmp.pull_placement import PULLS, find_place
from edge.servers.nginx_rtmp.stat_page import StatPage

STREAM = StreamId("st1")
PUBLISH = Publish(server="nginx-rtmp", connection="7", app="live", name="show", broadcaster="u42")
PUBLISHER = "<client><id>7</id><publishing/></client>"
VIEWER = "<client><id>8</id><pageurl>edge-gate:st2</pageurl></client><client><id>9</id></client>"


@dataclass
class Workers(GatekeeperDouble):
    """nginx with two workers: the publisher in the first, viewers in both. ``pulls`` land in the given
    workers."""

    lands: list[int] = field(default_factory=list)
    pulls: int = 0

    def __post_init__(self) -> None:
        self._asked: Iterator[int] = cycle((0, 1))

    async def pull_anew(self, stream_id: StreamId) -> bool:
        self.pulls += 1
        return True

    async def is_watched(self, stream_id: StreamId) -> bool:
        return self.lands[self.pulls] == 0

    def stat(self, request: httpx.Request) -> httpx.Response:
        worker = next(self._asked)
        # nginx does not reuse the number of a closed connection.
        pull = f"<client><id>{20 + self.pulls}</id><pageurl>{pull_token(STREAM)}</pageurl></client>"
        clients = VIEWER + (PUBLISHER if worker == 0 else "") + (pull * (self.lands[self.pulls] == worker))
        text = (
            f"<rtmp><pid>{worker}</pid><server><application><name>live</name><live><stream>"
            f"<name>show</name>{clients}</stream></live></application></server></rtmp>"
        )
        return httpx.Response(200, text=text)

    def page(self) -> StatPage:
        return StatPage("http://nginx/stat", transport=httpx.MockTransport(self.stat))


async def test_pulled_anew_until_it_is_beside_the_publisher_whoever_watches() -> None:
    workers = Workers(lands=[1, 1, 0])
    assert await find_place(workers, workers.page(), STREAM, PUBLISH) == 2


async def test_a_pull_that_is_right_at_once_is_left_alone() -> None:
    workers = Workers(lands=[0])
    assert await find_place(workers, workers.page(), STREAM, PUBLISH) == 0
    assert workers.pulls == 0


async def test_it_is_given_up_in_the_end() -> None:
    workers = Workers(lands=[1] * (PULLS + 1))
    assert await find_place(workers, workers.page(), STREAM, PUBLISH) == PULLS


async def test_a_stream_that_ends_is_not_sought() -> None:
    workers = Workers(lands=[1], admitted=False)
    assert await find_place(workers, workers.page(), STREAM, PUBLISH) == 0
