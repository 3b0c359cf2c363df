"""The benchmarks of matching run and measure what they claim."""

from __future__ import annotations

from pathlib import Path

from benchmarks._kept import Kept, digest_of
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


def test_a_run_in_chunks_goes_on_after_the_last_whole_result(tmp_path: Path) -> None:
    path = tmp_path / "results" / "evasion.jsonl"
    kept = Kept(path)
    kept.keep("mirror/a", {"found_ms": [400, None]})
    kept.keep("mirror/b", {"found_ms": []})
    path.write_bytes(path.read_bytes()[:-4])
    again = Kept(path)
    assert "mirror/a" in again
    assert again["mirror/a"] == {"found_ms": [400, None]}
    assert "mirror/b" not in again
    again.keep("mirror/b", {"found_ms": [200]})
    assert Kept(path)["mirror/b"] == {"found_ms": [200]}


def test_results_are_for_the_code_and_settings_that_they_were_measured_with(tmp_path: Path) -> None:
    code = tmp_path / "vote.py"
    code.write_text("K = 3")
    first = digest_of([code], "full", 1000)
    assert first == digest_of([code], "full", 1000)
    assert first != digest_of([code], "wide", 1000)
    code.write_text("K = 4")
    assert first != digest_of([code], "full", 1000)
