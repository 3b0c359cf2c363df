"""Streams of one broadcaster that are cut at once are one strike."""

from __future__ import annotations

from pathlib import Path

from edge.contract.operator import strike_to_proto
from edge.policy import DAY_MS
from tests.supervise.gate_without_workers import gate_without_workers

STREAMS = 4


async def test_four_streams_that_show_a_clip_at_once_are_one_strike(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        ledger = bench.gate.ledger
        streams = [await bench.watched(str(number), f"show{number}") for number in range(STREAMS)]
        for stream_id in streams:
            bench.judged(stream_id)
        await bench.until(lambda: len(ledger.incidents()) == STREAMS)
        await bench.until(lambda: set(bench.server.asked) == set(streams))
        [counted] = ledger.strikes(broadcaster="anna")
        cases = [ledger.case(incident.id) for incident in ledger.incidents()]
        assert sorted(str(case.strike and case.strike.part_of) for case in cases) == sorted(
            ["None", *[counted.id] * (STREAMS - 1)]
        )
        shown = {strike_to_proto(case.strike).part_of_strike_id for case in cases if case.strike}
        assert shown == {"", counted.id}
        for block in ledger.blocks(wall_ms=0):
            assert (block.full_until_ms or block.until_ms) - block.created_ms == 30 * DAY_MS
