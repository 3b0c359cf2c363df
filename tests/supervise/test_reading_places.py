"""Readers who stop reading keep no place from others, and a reading does not last for ever."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from edge.clock import ManualClock
from edge.errors import EvidenceStoreFailed, NoPlace
from edge.supervise.reading_places import WHOLE_S, ReadingPlaces


async def file(pieces: int = 3) -> AsyncGenerator[bytes]:
    for number in range(pieces):
        yield bytes([number])


async def begun(places: ReadingPlaces, by: str) -> AsyncIterator[bytes]:
    places.check(by)
    reading = places.pass_on(file(), by)
    assert await anext(reading) == b"\0"
    return reading


async def test_stalled_readers_keep_nobody_from_reading_and_go_on_when_they_come_back() -> None:
    places = ReadingPlaces(ManualClock(), most=4, most_of_one=2)
    stalled = [await begun(places, f"reader-{n % 3}") for n in range(12)]
    for who in ("rita", "reader-0"):
        reading = await begun(places, who)
        assert [piece async for piece in reading] == [b"\1", b"\2"]
    for reading in stalled:
        assert [piece async for piece in reading] == [b"\1", b"\2"]


async def test_while_all_places_are_being_read_no_answer_begins() -> None:
    places = ReadingPlaces(ManualClock(), most=4, most_of_one=2)

    async def asking(by: str, left: int) -> AsyncGenerator[bytes]:
        """While its first piece is read, another is asked for."""
        if left:
            reading = places.pass_on(asking(f"{by}+", left - 1), by)
            yield await anext(reading)
        for one in ("anna", "berta"):
            with pytest.raises(NoPlace, match=r"evidence readings"):
                places.check(one)
        yield b""

    assert await anext(places.pass_on(asking("anna", 3), "anna")) == b""
    places.check("anna")


async def test_one_person_has_its_share() -> None:
    places = ReadingPlaces(ManualClock(), most=4, most_of_one=1)

    async def asking() -> AsyncGenerator[bytes]:
        with pytest.raises(NoPlace, match="of one person"):
            places.check("anna")
        places.check("berta")
        yield b""

    assert await anext(places.pass_on(asking(), "anna")) == b""


async def test_a_reading_that_lasts_too_long_ends() -> None:
    clock = ManualClock()
    places = ReadingPlaces(clock)
    reading = await begun(places, "rita")
    clock.advance_ms(WHOLE_S * 1000 + 1)
    with pytest.raises(EvidenceStoreFailed, match="read the rest as a range"):
        await anext(reading)
