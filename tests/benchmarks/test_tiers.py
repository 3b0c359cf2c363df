"""The benchmark of the two tiers runs and counts what it claims."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import tiers


def test_one_stream_of_each_kind(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--clips", "1", "--calm", "1", "--event-s", "2", "--spare-ms", "0", "3000"]
    assert tiers.main([*options, "--json", "--each"]) == 0
    shown = json.loads(capsys.readouterr().out)
    report = shown["by_spare_ms"]["0"]
    assert (report["streams"], report["calm_streams"], len(shown["each"])) == (1, 1, 2)
    event, calm = shown["each"]
    assert event["event_s"] == pytest.approx(2, abs=0.1)
    assert calm["event_s"] == 0
    # Seven or eight frames in each GOP of two seconds, unless something is seen.
    for stream in (event, calm):
        dense, two_tier, spare = stream["dense"], stream["two_tier"]["0"], stream["two_tier"]["3000"]
        assert 0.05 < two_tier["decoded"] / dense["decoded"] <= 1
        assert two_tier["samples"] < spare["samples"] <= dense["samples"]


def test_report_compares_only_what_dense_decoding_sees() -> None:
    def seen(flag_s: float | None, cut_s: float | None, decoded: int) -> tiers.Seen:
        return tiers.Seen(flag_s, cut_s, decoded, 1, 0.1)

    report = tiers._report(
        [
            tiers.Compared("a", 8.0, seen(1.0, 2.0, 100), {0: seen(1.5, 2.0, 50)}),
            tiers.Compared("b", 8.0, seen(1.0, None, 100), {0: seen(None, None, 10)}),
            tiers.Compared("c", 8.0, seen(None, None, 100), {0: seen(3.0, None, 40)}),
            tiers.Compared("d", 0.0, seen(None, None, 100), {0: seen(2.0, None, 20)}),
        ],
        0,
    )
    assert (report["flagged_dense"], report["flagged_two_tier"], report["recall_of_dense"]) == (2, 2, 0.5)
    assert report["first_flag_delay_s"] == {"p50": 0.5, "p90": 0.5, "max": 0.5}
    assert (report["cut_dense"], report["recall_of_dense_cuts"]) == (1, 1.0)
    assert (report["calm_flagged_dense"], report["calm_flagged_two_tier"]) == (0, 1)
    assert (report["decoded_share"], report["calm_decoded_share"]) == (0.3, 0.2)
