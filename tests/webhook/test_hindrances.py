"""A rejected or undeliverable event delays no other event."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from edge.webhook import delivery as module
from tests.webhook.gate import NOW, SECRET, Gate, section, until
from tests.webhook.platform import Platform

HOUR_MS = 3_600_000


@contextlib.contextmanager
def database(gate: Gate) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(gate.folder / "edge.db")) as connection, connection:
        yield connection


async def test_a_kind_that_is_refused_is_given_up_and_the_others_arrive(gate: Gate) -> None:
    with Platform(SECRET, by_type={"notice": 400}) as platform:
        delivery = gate.delivery(section(platform, events=("notice", "stream.cut"), max_waiting=3))
        await delivery.start()
        for number in range(12):
            gate.block(f"b{number}")
        gate.cut("st_1")
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) == 1)
        await asyncio.to_thread(platform.until, lambda seen: len(set(seen.ids)) == 13)
        await until(lambda: all(each.attempts for each in list(delivery._state.waiting.values())))
        gate.cut("st_2")
        await until(lambda: gate.count("dead") == 12)
        await delivery.stop()
    assert platform.types() == ["stream.cut"] * 2
    assert {letter["type"] for letter in gate.letters()} == {"notice"}
    assert all(letter["problem"].startswith("status 400") for letter in gate.letters())
    assert min(letter["attempts"] for letter in gate.letters()) >= 8


@pytest.mark.parametrize("status", [401, 429])
async def test_a_receiver_that_refuses_everything_loses_nothing(gate: Gate, status: int) -> None:
    with Platform(SECRET, answer=lambda nth: status if nth < 20 else 200) as platform:
        delivery = gate.delivery(section(platform))
        await delivery.start()
        gate.block()
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) == 2)
        await delivery.stop()
    assert gate.count("dead") == 0


async def test_after_an_outage_nothing_waits_for_its_own_pause(gate: Gate) -> None:
    with Platform(SECRET, answer=lambda nth: 503 if nth < 20 else 200) as platform:
        settings = section(platform, events=("block.made",), first_retry_ms=HOUR_MS, max_retry_ms=HOUR_MS)
        first = gate.delivery(settings)
        await first.start()
        for number in range(20):
            gate.block(f"b{number}")
        await until(lambda: gate.count("failed") == 20)
        await first.stop()
        second = gate.delivery(settings)
        await second.start()
        gate.block("tonight")
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) == 21)
        await second.stop()
    assert platform.taken[0]["data"]["block"]["subject"] == "tonight"


async def test_what_fails_though_others_arrive_keeps_its_pause(gate: Gate) -> None:
    with Platform(SECRET, by_type={"notice": 500}) as platform:
        delivery = gate.delivery(section(platform, first_retry_ms=HOUR_MS, max_retry_ms=HOUR_MS))
        await delivery.start()
        made = []
        for number in range(4):
            made.append(gate.block(f"b{number}"))
            await until(lambda: len(platform.taken) == len(made) and len(set(platform.ids)) == 2 * len(made))
        await until(lambda: not delivery._sending)
        await delivery.stop()
    tries = collections.Counter(platform.ids)
    assert len(tries) == 8
    assert max(tries.values()) <= 2


async def test_a_receiver_that_asks_for_time_gets_it(gate: Gate) -> None:
    with Platform(SECRET, by_type={"notice": 429}, retry_after="3600") as platform:
        delivery = gate.delivery(section(platform, max_retry_ms=HOUR_MS))
        await delivery.start()
        made = []
        for number in range(3):
            made.append(gate.block(f"b{number}"))
            await until(lambda: len(set(platform.ids)) == 2 * len(made))
        await until(lambda: not delivery._sending)
        await delivery.stop()
    assert len(platform.ids) == len(set(platform.ids)) == 6


async def test_too_many_that_fail_make_room_while_the_receiver_is_there(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_TRIED", 4)
    with Platform(SECRET, by_type={"notice": 500}) as platform:
        delivery = gate.delivery(section(platform, max_waiting=2))
        await delivery.start()
        made = []
        for number in range(10):
            made.append(gate.block(f"b{number}"))
            await until(lambda: len(platform.taken) == len(made))
        await delivery.stop()
    assert set(platform.types()) == {"block.made"}
    assert gate.letters()
    assert all("events fail" in letter["problem"] for letter in gate.letters())
    assert {letter["type"] for letter in gate.letters()} == {"notice"}
    assert len(gate.letters()) + len(delivery._state.waiting) == 10


async def test_too_many_that_fail_stay_while_the_receiver_is_away(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_TRIED", 4)
    with Platform(SECRET, answer=lambda nth: 503 if nth < 40 else 200) as platform:
        delivery = gate.delivery(section(platform, events=("block.made",), max_waiting=2))
        await delivery.start()
        made = [gate.block(f"b{number}") for number in range(2)]
        await asyncio.to_thread(platform.until, lambda seen: len(set(seen.ids)) == 2)
        for number in range(2, 12):
            made.append(gate.block(f"b{number}"))
            await asyncio.sleep(0.02)
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) == 12)
        await delivery.stop()
    assert gate.count("dead") == 0
    assert {event["data"]["block"]["id"] for event in platform.taken} == set(made)


@pytest.mark.parametrize(
    ("wall_ms", "detail"),
    [
        (NOW, '{"rows": {"blocks": 5}}'),
        (10**17, None),
    ],
)
async def test_a_decision_that_cannot_be_told_is_passed(gate: Gate, wall_ms: int, detail: str | None) -> None:
    with Platform(SECRET) as platform:
        settings = section(platform, events=("block.made",))
        first = gate.delivery(settings)
        await first.start()
        await first.stop()
        made = [gate.block("before")]
        with database(gate) as connection:
            columns = "number + 1, ?, who, what, subject, coalesce(?, detail), digest, digest"
            connection.execute(
                f"INSERT INTO audit SELECT {columns} FROM audit ORDER BY number DESC LIMIT 1",
                (wall_ms, detail),
            )
        made.append(gate.block("after"))
        second = gate.delivery(settings)
        await second.start()
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) == 2)
        await second.stop()
    assert {event["data"]["block"]["id"] for event in platform.taken} == set(made)


async def test_what_was_taken_up_is_sent_while_the_ledger_is_away(gate: Gate) -> None:
    with Platform(SECRET, answer=lambda nth: 503 if nth < 1 else 200) as platform:
        settings = section(platform, events=("block.made",), first_retry_ms=500, max_retry_ms=500)
        delivery = gate.delivery(settings)
        await delivery.start()
        gate.block()
        await until(lambda: gate.count("failed") == 1)
        with database(gate) as connection:
            connection.execute("ALTER TABLE audit RENAME TO elsewhere")
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) == 1)
        await delivery.stop()
        assert delivery._state.waiting == {}
