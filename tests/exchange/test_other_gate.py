"""Following a bank of another company, over real TLS, into a bank of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.cli.app import app
from edge.contract.gen import share_pb2
from edge.errors import ExchangeFailed, InvalidInput
from edge.exchange import other_gate
from edge.exchange.definition import Definition
from edge.exchange.sync import Run
from edge.match import Bank, BankInfo, BankPurpose, Existing, Withdrawal
from edge.sharing.peer_client import OwnCertificate, PeerClient
from edge.sharing.share_index import follow_banks
from edge.sharing.share_log import ShareLog, log_path
from tests.exchange.exchanges import added, held, run
from tests.sharing.certificates import Authority
from tests.sharing.test_share_log import NAMES, footage
from tests.sharing.test_share_server import ACME, Company, answered, entry, hostile


def following(banks: Path, address: str, own: OwnCertificate, **more: Any) -> Definition:
    options = {
        "url": f"gate://{address}/known",
        "cert": str(own.cert),
        "key": str(own.key),
        "ca": str(own.ca),
    }
    options |= more.pop("options", {})
    return added(banks, "gate", name="lent", options=options, **more)


def issued(folder: Path) -> OwnCertificate:
    """The certificate that ``hostile`` has issued."""
    return OwnCertificate(folder / ACME / "cert.pem", folder / ACME / "key.pem", folder / "ca.pem")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_gate, "PAUSE_S", 0.0)


async def test_a_followed_bank_is_as_the_other_company_has_it(tmp_path: Path) -> None:
    async with Company(tmp_path).serving() as company:
        here = tmp_path / "here"
        own = company.authority.issue(ACME)
        definition = following(here, company.address, own, purpose=BankPurpose.COUNT)
        done: Run = await asyncio.to_thread(run, here, definition)
        assert (done.updated.added, done.banks) == (3, {"lent": 3})
        bank, source = Bank.open(here / "lent"), Bank.open(company.banks / "known")
        assert bank.info.opinion is BankPurpose.COUNT
        assert {one.hashes for one in bank.footage()} == {one.hashes for one in source.footage()}
        for one, _ in bank.entries():
            assert (one.label, one.source) == ("", "shared by Example")
            assert one.note == "listed, bank, high, fight"
        source.remove(["known1"])
        source.set_quarantined(["known2"], True)
        company.index()
        done = await asyncio.to_thread(run, here, definition)
        assert done.updated.removed == 1
        assert done.banks == {"lent": 2}, "what the other side doubts may count here, too"
        for log in company.logs.iterdir():
            log.unlink()  # as after a restore: its checkpoints are of another log
        source.remove(["known0"])
        company.index()
        done = await asyncio.to_thread(run, here, definition)
        assert (done.all_anew, done.banks) == (True, {"lent": 1})


async def test_categories_are_taken_over_only_where_that_is_said(tmp_path: Path) -> None:
    async with Company(tmp_path).serving() as company:
        here = tmp_path / "here"
        options = {"categories": "gunfire, fight"}
        definition = following(here, company.address, company.authority.issue(ACME), options=options)
        await asyncio.to_thread(run, here, definition)
        assert {one.label for one, _ in Bank.open(here / "lent").entries()} == {"fight"}


def test_a_wrong_page_changes_nothing_and_the_pages_before_stay(tmp_path: Path) -> None:
    pages = [
        answered(entry(), checkpoint="1", more=True),
        answered(share_pb2.Change(id="1" * 32), entry(quality=[101, 0]), checkpoint="2"),
    ]
    with hostile(tmp_path, lambda request: pages[request.checkpoint == "1"]) as (client, _):
        here = tmp_path / "here"
        own = issued(tmp_path)
        definition = following(here, client.place, own, purpose=BankPurpose.INVESTIGATE)
        with pytest.raises(ExchangeFailed, match=r"wrong page: hash\.quality"):
            run(here, definition)
        assert list(held(here)["lent"]) == ["0" * 32]


def test_pages_without_end_are_left(tmp_path: Path) -> None:
    number = 0

    def endless(_: Any) -> share_pb2.ListChangesResponse:
        nonlocal number
        number += 1
        change = entry()
        change.id = f"{number:032x}"
        return answered(change, checkpoint=str(number), more=True)

    with hostile(tmp_path, endless) as (client, servicer):
        here = tmp_path / "here"
        own = issued(tmp_path)
        definition = following(here, client.place, own, options={"max_entries": "20"})
        with pytest.raises(ExchangeFailed, match="over the limit of 20 changes"):
            run(here, definition)
        assert servicer.asked == 21


@pytest.mark.parametrize("url", ["https://x:1/known", "gate://x/known", "gate://x:1/", "gate://x:1/../x"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    own = Authority(tmp_path).issue(ACME)
    with pytest.raises(InvalidInput, match="wants gate://HOST:PORT/BANK"):
        following(tmp_path, "x:1", own, options={"url": url})


def test_all_that_came_by_one_gate_is_switched_off_and_on_in_one_step(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue(ACME)
    files = ["--cert", str(own.cert), "--key", str(own.key), "--ca", str(own.ca)]

    def cli(*arguments: str) -> Any:
        result = CliRunner().invoke(app, ["bank", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    for place, name in (("one.example:9443", "a"), ("one.example:9443", "b"), ("two.example:9443", "c")):
        cli("follow", f"gate://{place}/known", "--into", str(tmp_path / name), *files, "--purpose", "count")
        Bank.create(tmp_path / name, BankInfo(source=f"exchange {name}")).add_footage([footage(name)])
    off = cli("peer", "off", str(tmp_path), "one.example:9443", "--reason", "poison")
    assert off == {"peer": "one.example:9443", "enabled": False, "banks": ["a", "b"]}
    rows = cli("peer", "list", str(tmp_path))["banks"]
    assert {row["bank"]: (row["enabled"], row["fetched"]) for row in rows} == {
        "a": (False, False),
        "b": (False, False),
        "c": (True, True),
    }
    cli("peer", "on", str(tmp_path), "one.example:9443", "--reason", "settled")
    assert all(row["enabled"] and row["fetched"] for row in cli("peer", "list", str(tmp_path))["banks"])
    unknown = CliRunner().invoke(app, ["bank", "peer", "off", str(tmp_path), "x:1", "--reason", "y"])
    assert unknown.exit_code == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(NAMES), st.integers(0, 3)),
        st.tuples(st.sampled_from(["withdraw", "disable", "enable"]), st.sampled_from(NAMES), st.just(0)),
        st.tuples(st.sampled_from(["compact", "log", "run", "new log"]), st.just(""), st.just(0)),
        st.tuples(st.just("interrupted"), st.just(""), st.integers(1, 3)),
    ),
    max_size=16,
)


class ConnectionBroke(ExchangeFailed):
    """The connection broke as the test wants it."""


class FromLog:
    """The pages of a log, without the network. ``pages_left``: the connection breaks after these."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pages_left = 1_000_000

    def pages(self, bank: str, checkpoint: str) -> Any:
        while True:
            with ShareLog.open(self.path) as log:
                page = log.page(checkpoint, 2)
            if not self.pages_left:
                raise ConnectionBroke("the connection broke")
            self.pages_left -= 1
            answer = share_pb2.ListChangesResponse(
                changes=[share_pb2.Change(id=one, entry=what) for one, what in page.changes],
                checkpoint=page.checkpoint,
                more=page.more,
                start_again=page.start_again,
            )
            checked = PeerClient._checked(self, answer, checkpoint)  # type: ignore[arg-type]
            yield checked
            if checked.start_again or not checked.more:
                return
            checkpoint = checked.checkpoint

    place = "the log"

    def __enter__(self) -> FromLog:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_changes_runs_and_interruptions_in_any_order_end_as_the_source_is(
    steps: list[tuple[str, str, int]],
) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        log = log_path(folder / "logs", "known")
        source = Bank.create(folder / "there" / "known")
        client = FromLog(log)
        patch.setattr(other_gate, "PeerClient", lambda *_: client)
        patch.setattr(other_gate, "PAUSE_S", 0.0)
        own = OwnCertificate(folder, folder, folder)
        definition = following(folder / "here", "x:1", own)

        def index() -> None:
            found = follow_banks(folder / "there", folder / "logs", {"known": []})
            assert not found["known"]["problem"]

        index()
        for step, entry_name, number in steps:
            match step:
                case "put":
                    source.update([footage(entry_name, number)], existing=Existing.REPLACE)
                case "withdraw":
                    source.update([Withdrawal(entry_name)])
                case "disable" | "enable" if source.has(entry_name):
                    source.set_enabled([entry_name], step == "enable")
                case "compact":
                    source.compact()
                case "log":
                    index()
                case "new log":
                    for part in log.parent.iterdir():
                        part.unlink()
                    index()
                case "run" | "interrupted":
                    client.pages_left = number or 1_000_000
                    with contextlib.suppress(ConnectionBroke):
                        run(folder / "here", definition)
        index()
        client.pages_left = 1_000_000
        run(folder / "here", definition)
        expected = {item.hashes for item in source.footage() if item.entry.id not in source.manifest.disabled}
        found = [item for path in (folder / "here").glob("*.bank") for item in Bank.open(path).footage()]
        assert {item.hashes for item in found} == expected
        assert {item.entry.id for item in found} == set(shared_ids(log))


def shared_ids(path: Path) -> list[str]:
    with ShareLog.open(path) as log:
        return [one for one, what in log.page("").changes if what is not None]
