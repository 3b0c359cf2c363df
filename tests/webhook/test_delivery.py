"""Every decision eventually reaches the platform under one id, and nothing waits for it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
from pathlib import Path
from typing import Any

import certifi
import pytest

from edge.errors import ConfigError
from edge.ledger import DurableLedger
from edge.webhook import delivery as delivery_module
from edge.webhook import state
from edge.webhook.endpoint import Endpoint
from edge.webhook.events import ping
from edge.webhook.signing import key_of
from tests.set_clock import SetClock
from tests.slow_callbacks import slow_callbacks
from tests.webhook.gate import NOW, SECRET, Gate, section, until
from tests.webhook.platform import Platform


async def test_decisions_from_now_on_are_told_once_and_verified(gate: Gate) -> None:
    gate.block("before")
    with Platform(SECRET) as platform:
        delivery = gate.delivery(section(platform))
        await delivery.start()
        made = gate.block()
        gate.ledger.lift_block(made, "mistake", "rita", NOW + 1)
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) >= 3)
        await delivery.stop()
    assert sorted(platform.types()) == ["block.lifted", "block.made", "notice"]
    assert len(set(platform.ids)) == len(platform.ids) == 3
    (notice,) = [event["data"] for event in platform.taken if event["type"] == "notice"]
    assert (notice["broadcaster"], notice["block_id"]) == ("anna", made)
    assert "blocked" in notice["en"]
    assert any("\u0600" <= c <= "\u06ff" for c in notice["ar"])
    assert (gate.count("delivered"), gate.count("failed")) == (3, 0)


@pytest.mark.parametrize("failure", [500, 503, 302, 404, 0.7])
async def test_a_receiver_that_fails_hears_the_same_event_again(gate: Gate, failure: int | float) -> None:
    with Platform(SECRET, answer=lambda nth: failure if nth < 3 else 200) as platform:
        settings = section(platform, events=("block.made",), timeout_ms=300)
        delivery = gate.delivery(settings)
        await delivery.start()
        gate.block()
        await asyncio.to_thread(platform.until, lambda seen: bool(seen.taken))
        await until(lambda: gate.count("delivered") == 1)
        await delivery.stop()
    assert platform.types() == ["block.made"]
    assert len(platform.ids) == 4
    assert len(set(platform.ids)) == 1
    assert gate.count("failed") == 3


async def test_a_clock_that_is_set_back_holds_no_event_back(gate: Gate) -> None:
    clock = SetClock()
    clock.ahead_ms = 24 * 3_600_000
    with Platform(SECRET, answer=lambda nth: 200 if nth else 500) as platform:
        settings = section(platform, events=("block.made",), first_retry_ms=60_000, max_retry_ms=60_000)
        delivery = gate.delivery(settings, clock)
        await delivery.start()
        gate.block()
        await until(lambda: gate.count("failed") == 1)
        clock.ahead_ms = 0
        await asyncio.to_thread(platform.until, lambda seen: bool(seen.taken))
        await delivery.stop()


async def test_what_was_durable_before_the_end_is_sent_after_it(gate: Gate) -> None:
    with Platform(SECRET) as platform:
        settings = section(platform, events=("block.made",))
        first = gate.delivery(settings)
        await first.start()
        await first.stop()
        made = gate.block()  # The process ends before anything was read.
        second = gate.delivery(settings)
        await second.start()
        await asyncio.to_thread(platform.until, lambda seen: bool(seen.taken))
        await second.stop()
        third = gate.delivery(settings)
        await third.start()
        other = gate.block("berta")
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) == 2)
        await third.stop()
    assert [event["data"]["block"]["id"] for event in platform.taken] == [made, other]


async def test_events_that_wait_survive_a_restart_under_their_ids(gate: Gate) -> None:
    with Platform(SECRET, answer=lambda nth: 500) as platform:
        settings = section(platform, events=("block.made",))
        first = gate.delivery(settings)
        await first.start()
        for number in range(20):
            gate.block(f"b{number}")
        await asyncio.to_thread(platform.until, lambda seen: len(set(seen.ids)) == 20)
        await first.stop()
    assert not platform.taken
    with Platform(SECRET, port=platform.port) as later:
        second = gate.delivery(settings)
        await second.start()
        await asyncio.to_thread(later.until, lambda seen: len(seen.taken) >= 20)
        await second.stop()
    assert {event["id"] for event in later.taken} == set(platform.ids)
    assert len(later.taken) == 20


async def test_nobody_there_and_then_somebody(gate: Gate) -> None:
    with Platform(SECRET) as gone:
        port = gone.port
    delivery = gate.delivery(section(gone, events=("block.made",)))
    await delivery.start()
    gate.block()
    await until(lambda: gate.count("failed") >= 2)
    with Platform(SECRET, port=port) as platform:
        await asyncio.to_thread(platform.until, lambda seen: bool(seen.taken))
        await delivery.stop()


async def test_what_is_too_old_is_given_up_counted_and_kept_for_people(gate: Gate) -> None:
    with Platform(SECRET, answer=lambda nth: 500) as platform:
        delivery = gate.delivery(section(platform, events=("block.made",), max_age_ms=0))
        await delivery.start()
        gate.block()
        await until(lambda: gate.count("dead") == 1)
        await delivery.stop()
    (letter,) = gate.letters()
    assert (letter["id"], letter["type"]) == (platform.ids[0], "block.made")
    assert letter["problem"].startswith("status 500")
    assert "\x1b" not in letter["problem"]
    assert len(platform.ids) == 1
    state = json.loads((gate.folder / "webhook.json").read_text())
    assert (state["waiting"], state["cursor"]) == ([], 1)


async def test_no_more_wait_at_a_time_than_may_and_all_arrive(gate: Gate) -> None:
    with Platform(SECRET, answer=lambda nth: 500 if nth < 6 else 200) as platform:
        delivery = gate.delivery(section(platform, events=("block.made",), max_waiting=1, concurrency=1))
        await delivery.start()
        wanted = {gate.block(f"b{number}") for number in range(4)}
        await asyncio.to_thread(platform.until, lambda seen: len(seen.taken) == 4)
        await delivery.stop()
    assert {event["data"]["block"]["id"] for event in platform.taken} == wanted


async def test_what_another_gate_of_the_fleet_decides_is_its_own_to_tell(gate: Gate, tmp_path: Path) -> None:
    other = DurableLedger.open(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "other.jsonl", gate="other")
    with Platform(SECRET) as platform:
        delivery = gate.delivery(section(platform, events=("block.made",)))
        await delivery.start()
        dataclasses.replace(gate, ledger=other).block("theirs")
        mine = gate.block("mine")
        await asyncio.to_thread(platform.until, lambda seen: bool(seen.taken))
        await delivery.stop()
    other.close()
    assert [event["data"]["block"]["id"] for event in platform.taken] == [mine]


async def test_private_receivers_are_refused_only_on_demand() -> None:
    with Platform(SECRET) as platform:
        for public_only, delivered in ((False, True), (True, False)):
            receiver = Endpoint(platform.url, [key_of(SECRET)], timeout_ms=5000, public_only=public_only)
            attempt = await receiver.send(ping("evt_1", NOW))
            await receiver.aclose()
            assert attempt.delivered is delivered
        assert "public_only" in attempt.problem
        assert len(platform.ids) == 1


async def test_a_certificate_of_nobody_known_is_refused(tmp_path: Path) -> None:
    import ssl

    import trustme
    import uvicorn

    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    pem, ca = tmp_path / "server.pem", tmp_path / "ca.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(pem)
    authority.cert_pem.write_to_path(ca)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        ssl_certfile=pem,
        ssl_keyfile=pem,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
    for trusted, delivered in ((None, False), (ca, True)):
        receiver = Endpoint(url, [key_of(SECRET)], timeout_ms=5000, ca=trusted)
        attempt = await receiver.send(ping("evt_1", NOW))
        await receiver.aclose()
        assert attempt.delivered is delivered, attempt
    server.should_exit = True
    await serving


async def test_the_state_forgets_an_event_only_once_its_dead_letter_is_on_disk(
    gate: Gate, synced: list[tuple[str, int]]
) -> None:
    dead = gate.folder / "webhook.dead.jsonl"
    dead.mkdir()  # as little can be written there as on a full disk
    with Platform(SECRET, answer=lambda nth: 500) as platform:
        settings = section(platform, events=("block.made",), max_age_ms=0)
        delivery = gate.delivery(settings)
        await delivery.start()
        gate.block()
        await until(lambda: gate.count("dead") == 1)
        await delivery.stop()
        state = json.loads((gate.folder / "webhook.json").read_text())
        assert state["cursor"] == 0 or len(state["waiting"]) == 1
        dead.rmdir()
        again = gate.delivery(settings)
        await again.start()
        await until(lambda: gate.count("dead") == 2)
        await again.stop()
    assert [letter["id"] for letter in gate.letters()] == platform.ids[:1]
    assert ("file", dead.stat().st_size) in synced
    assert json.loads((gate.folder / "webhook.json").read_text())["waiting"] == []


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_state_or_certificates_does_not_hang(tmp_path: Path) -> None:
    for name in ("webhook.json", "ca.pem"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(ConfigError, match="regular file"):
        state.load(tmp_path)
    with pytest.raises(ConfigError, match=r"webhook\.ca: .*regular file"):
        Endpoint("https://127.0.0.1:1/", [key_of(SECRET)], timeout_ms=100, ca=tmp_path / "ca.pem")


def test_certificates_may_stand_between_lines_in_any_language(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("# Größe\n" + Path(certifi.where()).read_text())
    Endpoint("https://127.0.0.1:1/", [key_of(SECRET)], timeout_ms=100, ca=path)


async def test_20000_waiting_events_and_their_dead_letters_do_not_hold_up_the_event_loop(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Platform(SECRET, answer=lambda nth: 404) as platform:
        delivery = gate.delivery(section(platform, max_waiting=10_000, concurrency=64))
        waiting = [state.Waiting(f"ev_{n}", n + 1, NOW, attempts=n % 2) for n in range(20_000)]
        await asyncio.to_thread(
            state.save, gate.folder, state.DeliveryState(0, {each.id: each for each in waiting})
        )
        monkeypatch.setattr(delivery_module, "_MAX_TRIED", 2_000)
        with slow_callbacks(monkeypatch) as slow:
            await asyncio.get_running_loop().create_task(delivery.start())
            gate.block()
            await until(lambda: gate.count("dead") >= 1_000)
            await asyncio.get_running_loop().create_task(delivery.stop())
    assert len(gate.letters()) >= 1_000
    assert not slow
