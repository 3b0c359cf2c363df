"""Over real TLS: who gets what of a bank, and what a peer does that means no good."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge.api.share_server import ShareServer, ShareServicer
from edge.clock import ManualClock
from edge.contract.gen import share_pb2, share_pb2_grpc
from edge.errors import ConfigError, ExchangeFailed
from edge.match import Bank, Footage, Withdrawal
from edge.sharing.peer_client import OwnCertificate, PeerClient
from edge.sharing.settings import SharePeer, ShareSection
from edge.sharing.share_index import follow_banks
from edge.telemetry.records import BankTaken, PeerRefused, Record
from tests.sharing.certificates import Authority
from tests.sharing.test_share_log import footage

ACME, OTHER = "gate.acme.example", "gate.other.example"


class Company:
    """A company that shares the bank ``known`` with acme, and ``secret`` with nobody."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.banks, self.logs = folder / "banks", folder / "share"
        self.authority = Authority(folder)
        own = self.authority.issue("localhost", "127.0.0.1")
        self.section = ShareSection(
            listen="127.0.0.1:0",
            name="Example",
            cert=own.cert,
            key=own.key,
            ca=own.ca,
            peers={"acme": SharePeer(subject=ACME.upper(), banks=("known", "missing"))},
            **settings,
        )
        self.reported: list[Record] = []
        self.recorded: list[tuple[str, str, int, int]] = []
        self.clock = ManualClock()
        self.address = ""
        for name in ("known", "secret"):
            Bank.create(self.banks / name).add_footage([footage(f"{name}{n}", n) for n in range(3)])
        self.index()

    def index(self) -> None:
        found = follow_banks(self.banks, self.logs, {"known": [], "secret": []})
        assert not any(one["problem"] for one in found.values())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Company]:
        async def recorded(*taken: Any) -> None:
            self.recorded.append(taken)

        servicer = ShareServicer(self.logs, lambda: self.section, self.clock, self.reported.append, recorded)
        server = ShareServer(self.section, servicer)
        await server.start()
        self.address = server.address
        try:
            yield self
        finally:
            await server.stop(0)

    async def ask(self, names: str | OwnCertificate, asked: Callable[[PeerClient], Any]) -> Any:
        """Asks as a peer does, from a thread of its own."""
        own = self.authority.issue(names) if isinstance(names, str) else names

        def ask() -> Any:
            with PeerClient(self.address, own, sleep=lambda _: None) as client:
                return asked(client)

        return await asyncio.to_thread(ask)


def everything(bank: str) -> Callable[[PeerClient], dict[str, Footage]]:
    def take(client: PeerClient) -> dict[str, Footage]:
        found: dict[str, Footage] = {}
        for page in client.pages(bank, ""):
            for one in page.changes:
                if isinstance(one.change, Withdrawal):
                    found.pop(one.change.entry_id, None)
                else:
                    found[one.change.entry.id] = one.change
        return found

    return take


async def test_a_peer_gets_the_bank_that_it_may_have_and_that_is_on_record(tmp_path: Path) -> None:
    async with Company(tmp_path).serving() as company:
        found = await company.ask(ACME, everything("known"))
        bank = Bank.open(company.banks / "known")
        assert {one.hashes for one in found.values()} == {one.hashes for one in bank.footage()}
        assert {one.entry.source for one in found.values()} == {"shared by Example"}
        assert await company.ask(ACME, PeerClient.banks) == {"known": ("known_footage", "high")}
        bank.remove(["known0"])
        company.index()
        page = await company.ask(ACME, lambda client: client.page("known", ""))
        again = await company.ask(ACME, lambda client: client.page("known", page.checkpoint))
        assert (again.changes, again.more) == ((), False)
        assert company.recorded == [("acme", "known", 3, 0), ("acme", "known", 2, 1)]
        assert BankTaken("acme", "known", 3, 0) in company.reported


async def test_others_get_nothing(tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    async with Company(tmp_path).serving() as company:
        with pytest.raises(ExchangeFailed, match=f"no peer here has a name of this certificate .{OTHER}"):
            await company.ask(OTHER, everything("known"))
        with pytest.raises(ExchangeFailed, match="'secret' is not shared with acme"):
            await company.ask(ACME, everything("secret"))
        with pytest.raises(ExchangeFailed, match="no bank with id 'missing'"):
            await company.ask(ACME, everything("missing"))
        unreachable = "cannot be reached, or one side refuses the other's certificate"
        with pytest.raises(ExchangeFailed, match=unreachable):
            await company.ask(company.authority.issue(ACME, expired=True), everything("known"))
        stranger = Authority(tmp_path / "stranger").issue(ACME)
        ours = company.authority.issue(ACME)
        for own in (
            OwnCertificate(stranger.cert, stranger.key, ours.ca),
            OwnCertificate(ours.cert, ours.key, stranger.ca),  # the client trusts another authority
        ):
            with pytest.raises(ExchangeFailed, match=unreachable):
                await company.ask(own, everything("known"))
        await asyncio.to_thread(without_certificate, company)
        assert company.recorded == []
        assert [one for one in company.reported if isinstance(one, PeerRefused)]


def without_certificate(company: Company) -> None:
    ca = company.authority.ca.read_bytes()
    with grpc.secure_channel(company.address, grpc.ssl_channel_credentials(ca)) as channel:
        stub: Any = share_pb2_grpc.ShareStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            stub.ListShared(share_pb2.ListSharedRequest(), timeout=10)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_peer_that_asks_too_often_waits(tmp_path: Path) -> None:
    async with Company(tmp_path, pages_per_minute=12).serving() as company:
        for _ in range(3):
            await company.ask(ACME, PeerClient.banks)
        with pytest.raises(ExchangeFailed, match="more than 12 pages a minute"):
            await company.ask(ACME, PeerClient.banks)
        company.clock.now_monotonic_ms += 5_000
        await company.ask(ACME, PeerClient.banks)


async def test_a_peer_that_is_taken_out_of_the_settings_gets_nothing_any_more(tmp_path: Path) -> None:
    async with Company(tmp_path).serving() as company:
        await company.ask(ACME, PeerClient.banks)
        company.section = company.section.model_copy(update={"peers": {}})
        with pytest.raises(ExchangeFailed, match="no peer here"):
            await company.ask(ACME, PeerClient.banks)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (share_pb2.ListChangesRequest(bank="x" * 65), "bank"),
        (share_pb2.ListChangesRequest(bank="../known"), "not shared"),
        (share_pb2.ListChangesRequest(), "bank: must not be empty"),
        (share_pb2.ListChangesRequest(bank="known", checkpoint="x" * 129), "checkpoint"),
        (share_pb2.ListChangesRequest(bank="known", limit=1001), "limit"),
        (share_pb2.ListChangesRequest(bank="known", limit=-1), "limit"),
    ],
)
async def test_each_field_is_bounded(
    tmp_path: Path, request_: share_pb2.ListChangesRequest, error: str
) -> None:
    async with Company(tmp_path).serving() as company:
        with pytest.raises(ExchangeFailed, match=error):
            await company.ask(ACME, lambda client: client._call(client._stub.ListChanges, request_))


def test_settings_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="listen needs name"):
        ShareSection(listen="127.0.0.1:0")
    peer = SharePeer(subject=ACME)
    with pytest.raises(ValueError, match="is the subject of two peers"):
        ShareSection(peers={"one": peer, "two": SharePeer(subject=ACME.upper())})
    with pytest.raises(ValueError, match="peers: 'a b'"):
        ShareSection(peers={"a b": peer})
    own = Authority(tmp_path).issue(ACME)
    with pytest.raises(ConfigError, match="share: "):
        ShareServer(
            ShareSection(listen="127.0.0.1:0", name="x", cert=own.cert, key=own.ca, ca=own.ca),
            ShareServicer(tmp_path, ShareSection, ManualClock(), print, None),  # type: ignore[arg-type]
        )


class Hostile(share_pb2_grpc.ShareServicer):
    """A server that answers what a test wants."""

    def __init__(self, answer: Callable[[share_pb2.ListChangesRequest], Any]) -> None:
        self._answer = answer
        self.asked = 0

    def ListShared(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def ListChanges(self, request: Any, context: Any) -> Any:
        self.asked += 1
        return self._answer(request)


@contextmanager
def hostile(
    folder: Path, answer: Callable[[Any], Any], **limits: Any
) -> Iterator[tuple[PeerClient, Hostile]]:
    authority = Authority(folder)
    own = authority.issue("localhost", "127.0.0.1")
    servicer = Hostile(answer)
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
    share_pb2_grpc.add_ShareServicer_to_server(servicer, server)
    credentials = grpc.ssl_server_credentials(
        [(own.key.read_bytes(), own.cert.read_bytes())], own.ca.read_bytes(), require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        with PeerClient(f"127.0.0.1:{port}", authority.issue(ACME), sleep=lambda _: None, **limits) as client:
            yield client, servicer
    finally:
        server.stop(0)


def entry(**changes: Any) -> share_pb2.Change:
    good = {
        "kind": "video",
        "category": "fight",
        "severity": "high",
        "hashes": bytes(64),
        "start_ms": [0, 40],
        "span_ms": [0, 0],
        "quality": [100, 90],
        "variant": [0, 1],
    }
    return share_pb2.Change(id="0" * 32, entry=share_pb2.Entry(**{**good, **changes}))


def answered(*changes: share_pb2.Change, checkpoint: str = "c", **more: Any) -> share_pb2.ListChangesResponse:
    return share_pb2.ListChangesResponse(changes=changes, checkpoint=checkpoint, **more)


GOOD = entry()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answered(GOOD, entry(hashes=bytes(33))), "entry.hashes"),
        (answered(GOOD, entry(start_ms=[1])), r"entry\.start_ms: has 1 values for 2 hashes"),
        (answered(GOOD, entry(quality=[100, 101])), "quality"),
        (answered(GOOD, entry(variant=[0, 9999])), "entry.variant: 9999"),
        (answered(GOOD, entry(kind="smell")), "entry.kind: 'smell'"),
        (answered(GOOD, entry(category="x" * 65)), "entry.category"),
        (answered(GOOD, entry(category="a\nb")), "entry.label"),
        (answered(GOOD, entry(severity="")), "entry.severity"),
        (answered(GOOD, entry(added_wall_ms=-1)), "entry.added_wall_ms"),
        (answered(GOOD, entry(duration_ms=2**62)), "entry.duration_ms"),
        (answered(GOOD, entry(sound=b"abc")), "sound.items"),
        (
            answered(GOOD, entry(hashes=b"", start_ms=[], span_ms=[], quality=[], variant=[])),
            "neither hashes",
        ),
        (answered(GOOD, share_pb2.Change(id="../x")), "change.id"),
        (answered(*[share_pb2.Change(id="0" * 32)] * 1001), "changes: 1001"),
        (answered(GOOD, checkpoint=""), "checkpoint"),
        (answered(GOOD, checkpoint="x" * 129), "checkpoint"),
        (answered(GOOD, checkpoint="a\nb"), "checkpoint"),
        (answered(more=True), "more: the page has no changes"),
        (answered(GOOD, start_again=True), "start_again"),
        (share_pb2.ListChangesResponse(start_again=True), "start_again"),
        (answered(entry(hashes=bytes(21 << 20))), "over the limit of 20971520 bytes"),
    ],
)
def test_a_wrong_page_is_refused_whole(
    tmp_path: Path, answer: share_pb2.ListChangesResponse, error: str
) -> None:
    with hostile(tmp_path, lambda _: answer) as (client, _), pytest.raises(ExchangeFailed, match=error):
        client.page("known", "")


def test_a_page_that_leads_nowhere_ends_the_run(tmp_path: Path) -> None:
    with hostile(tmp_path, lambda _: answered(GOOD, more=True)) as (client, servicer):
        with pytest.raises(ExchangeFailed, match="leads nowhere"):
            list(client.pages("known", ""))
        assert servicer.asked == 2


def test_what_a_newer_peer_says_counts_as_doubted(tmp_path: Path) -> None:
    with hostile(tmp_path, lambda _: answered(GOOD)) as (client, _):
        (one,) = client.page("known", "").changes
        assert (one.severity, one.confidence, one.provenance) == ("high", "doubted", "bank")


def test_a_server_that_does_not_answer_is_left(tmp_path: Path) -> None:
    never = threading.Event()

    def silent(_: Any) -> Any:
        never.wait(60)
        return answered(GOOD)

    with hostile(tmp_path, silent, answer_s=0.3) as (client, _):
        begun = time.monotonic()
        try:
            with pytest.raises(ExchangeFailed, match="did not answer in time"):
                client.page("known", "")
        finally:
            never.set()
        assert time.monotonic() - begun < 60
