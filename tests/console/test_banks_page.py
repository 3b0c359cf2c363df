"""The pages of the banks: what is in them, what they led to, and switching off what is wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path

import pytest

from edge.clock import ManualClock
from edge.console.words import languages
from edge.domain import BankSeverity, IncidentState, Signal, SignalSource
from edge.errors import LedgerUnavailable
from edge.match import Bank, BankInfo, BankPurpose, Entry, EntryKind, Footage, HashRun
from edge.match.bank.mark_notes import MarkNote
from edge.match.bank.verified_copies import Extent, refresh_copies
from edge.supervise.bank_desk import EntryMark
from tests.console.browser import console, flagged
from tests.supervise.gate_without_workers import Bench

SCRIPT = "<script>alert(1)</script>"


def footage(name: str, number: int) -> Footage:
    return Footage(
        Entry(name, EntryKind.VIDEO, source=f"{name}.mp4", duration_ms=4000), (HashRun(bytes([number] * 32)),)
    )


def filled(bench: Bench, name: str = "known", entries: int = 3) -> Bank:
    """A bank that the gate has taken."""
    info = BankInfo(severity=BankSeverity.CRITICAL, source=SCRIPT)
    bank = Bank.create(bench.gate.settings.banks / name, info)
    bank.add_footage([footage(f"e{number}", number) for number in range(entries)])
    return copied(bench, bank)


def copied(bench: Bench, bank: Bank) -> Bank:
    refresh_copies(bench.gate.settings.banks, bench.gate.settings.bank_copies, Extent.NEW)
    return bank


async def matched(bench: Bench, *entries: str, count: int = 1) -> None:
    """Incidents with these entries behind them; the last one is overturned."""
    known = bench.gate.ledger.incident(await flagged(bench))
    signals = tuple(
        Signal(SignalSource.MATCH, "known_footage", 0, 0.9, entry=entry, bank="known") for entry in entries
    )
    for number in range(count):
        one = dataclasses.replace(
            known,
            id=f"{known.id[:-4]}{number:04d}",
            verdict=dataclasses.replace(known.verdict, signals=signals),
        )
        bench.gate.ledger.record_incident(one, one.created_ms)
    now = bench.gate.clock.wall_ms()
    bench.gate.ledger.review(one.id, IncidentState.OVERTURNED, "wrong", "rita", now, bench.gate.policy)


async def test_banks_are_listed_with_their_hits_and_their_names_are_text(tmp_path: Path) -> None:
    clock = ManualClock()
    async with console(tmp_path, "viewer", clock=clock) as (bench, browser):
        assert "There are no banks" in (await browser.get("/banks")).text
        bank = filled(bench)
        Bank.create(tmp_path / "banks" / "music", BankInfo(opinion=BankPurpose.BENIGN, enabled=False))
        (tmp_path / "banks" / "torn.bank").write_text("{")
        bank.set_quarantined(["e1"], True, MarkNote(by="gate", reason="matched over 100 streams", wall_ms=5))
        await matched(bench, "e0", "e0", "e2", count=3)
        clock.now_monotonic_ms += 31_000  # hits are counted anew
        page = (await browser.get("/banks")).text
        assert SCRIPT not in page
        for text in (
            "known",
            "critical",
            "music",
            "benign",
            "Cannot be read",
            "not a bank manifest",
            "overturned: ",
        ):
            assert text in page, text
        assert '<bdi dir="ltr">3</bdi> <small class="bad">' in page, "an incident counts once"
        assert 'href="/console/banks/known?state=quarantined"' in page
        opened = (await browser.get("/banks/known")).text
        for text in ("e0.mp4", "matched over 100 streams", "e1"):
            assert text in opened, text
        assert 'href="/console/incidents/in_' in opened
        assert '<form method="post" action="/console/banks' not in opened, "a viewer looks"
        assert (await browser.get("/banks/nothing")).status_code == 404
        assert (await browser.get("/banks/..%2fknown")).status_code in (400, 404)
        assert (await browser.get("/banks/torn")).status_code == 200


async def test_entries_come_in_pages_and_by_state(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        bank = filled(bench, entries=120)
        bank.remove(["e5"])
        bank.set_enabled(["e7", "e9"], False)
        copied(bench, bank)
        seen: list[str] = []
        path = "/banks/known"
        while path:
            page = (await browser.get(path)).text
            seen += re.findall(r'<th scope="row"><bdi>(e\d+)</bdi>', page)
            more = re.search(r'class="more"><a class="button" href="/console([^"]+)"', page)
            path = more[1].replace("&amp;", "&") if more else ""
        assert seen == [f"e{number}" for number in range(120) if number != 5]
        disabled = (await browser.get("/banks/known?state=disabled")).text
        assert re.findall(r'<th scope="row"><bdi>(e\d+)</bdi>', disabled) == ["e7", "e9"]
        assert "nobody said why" in disabled
        one = (await browser.get("/banks/known?entry=e11")).text
        assert re.findall(r'<th scope="row"><bdi>(e\d+)</bdi>', one) == ["e11"]
        assert "no such entries" in (await browser.get("/banks/known?entry=e5")).text
        for wrong in ("state=gone", "before=x", "before=99999999999"):
            assert (await browser.get(f"/banks/known?{wrong}")).status_code == 400, wrong


async def test_an_entry_is_disabled_with_a_reason_that_is_on_record(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        bank = filled(bench)
        done = await browser.post(
            "/banks/known/mark", entry="e1", mark="disable", reason="false_match", note="-- a test card"
        )
        assert done.headers["location"] == "/console/banks/known?entry=e1"
        assert Bank.open(bank.path).manifest.disabled == ("e1",)
        page = (await browser.get("/banks/known?entry=e1")).text
        for text in (
            "The entry is disabled.",
            "reviewer-name",
            "It matches what is no violation: -- a test card",
        ):
            assert text in page, text
        await browser.post("/banks/known/mark", entry="e1", mark="enable", reason="checked")
        assert Bank.open(bank.path).manifest.disabled == ()
        entries = {entry.what: entry for entry in bench.gate.ledger.audit_entries()}
        assert entries["bank_entry_disable"].subject == "known/e1"
        assert entries["bank_entry_disable"].who == "reviewer-name"
        assert "a test card" in entries["bank_entry_disable"].detail
        assert "bank_entry_enable" in entries
        for form in (
            {"entry": "e9", "mark": "disable"},
            {"entry": "e1", "mark": "burn"},
            {"mark": "disable"},
        ):
            refused = await browser.post("/banks/known/mark", reason="false_match", **form)
            assert refused.status_code in (400, 404), form
        assert (
            await browser.post("/banks/known/mark", entry="e1", mark="disable", reason="other")
        ).status_code == 400


async def test_who_cannot_be_put_on_record_changes_no_bank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with console(tmp_path) as (bench, browser):
        bank = filled(bench)

        def away(*_: object) -> None:
            raise LedgerUnavailable("away")

        monkeypatch.setattr(bench.gate._context.operator_ledger, "note_bank_change", away)
        refused = await browser.post("/banks/known/mark", entry="e1", mark="disable", reason="false_match")
        assert refused.status_code == 503
        assert Bank.open(bank.path).manifest.disabled == ()


async def test_only_an_admin_switches_a_whole_bank(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        bank = filled(bench)
        assert (await browser.post("/banks/known/switch", on="0", reason="false_match")).status_code == 403
        assert "banks/known/switch" not in (await browser.get("/banks/known")).text
        await browser.sign_in("viewer")
        refused = await browser.post("/banks/known/mark", entry="e1", mark="disable", reason="false_match")
        assert refused.status_code == 403
        await browser.sign_in("admin")
        await browser.post("/banks/known/switch", on="0", reason="false_match", note="all wrong")
        assert not Bank.open(bank.path).info.enabled
        page = (await browser.get("/banks/known")).text
        for text in ("The bank is off.", "admin-name", "all wrong", "Switch the bank on"):
            assert text in page, text
        await browser.post("/banks/known/switch", on="1", reason="checked")
        assert Bank.open(bank.path).info.enabled
        assert [entry.what for entry in bench.gate.ledger.audit_entries(limit=2)] == ["bank_on", "bank_off"]


async def test_changes_at_the_same_time_are_all_made(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, _):
        bank = filled(bench, entries=4)
        desk = bench.gate.banks
        await asyncio.gather(
            *(desk.mark("known", f"e{n}", EntryMark.DISABLE, "wrong", "rita") for n in range(3))
        )
        assert Bank.open(bank.path).manifest.disabled == ("e0", "e1", "e2")


@pytest.mark.parametrize("language", languages())
async def test_the_pages_are_shown_in_every_language(language: str, tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        bank = filled(bench)
        bank.set_quarantined(["e1"], True, MarkNote(by="gate", reason=SCRIPT, wall_ms=5))
        await browser.get(f"/language/{language}")
        for path in ("/banks", "/banks/known", "/banks/known?state=quarantined"):
            page = await browser.get(path)
            assert page.status_code == 200, page.text
            assert f'<html lang="{language}"' in page.text
            assert SCRIPT not in page.text
            assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|<style|javascript:", page.text)
