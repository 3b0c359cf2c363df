"""The match benchmark runs and measures what it says."""

from __future__ import annotations

from benchmarks.match import measure


def test_the_benchmark_measures_everything_it_promises() -> None:
    report = measure(size=5000, queries=64, checked=16, seed=1)
    assert report["size"] == 5000
    assert report["recall"] == 1.0
    assert report["wrong_hits"] == 0
    assert report["memory_mb"] > 5000 * 32 / 1e6
    for name in ("query_us", "pdq_720p_ms", "pdqhash_720p_ms"):
        assert 0 < report[name]["p50"] <= report[name]["p95"]
    assert {"build_s", "batch32_us", "faiss_flat_us", "threatexchange_us"} <= report.keys()
