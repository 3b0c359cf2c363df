"""Computes the figures of a load run from its observations. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks._load_cost import GOP_S
from benchmarks._percentiles import percentiles

if TYPE_CHECKING:
    from benchmarks._load_cost import BareCost
    from benchmarks._load_run import Observed, Run

BUDGET_MS = 250.0
BLIND_LIMIT_MS = 2500.0
SAMPLE_REASONS = ("late", "superseded", "queue_full")
"""Reasons of samples that were due. ``gave_way`` counts opportunistic ones."""
_LAG_MS = 1000.0


def figures(run: Run, seen: Observed) -> dict[str, Any]:
    """Returns the JSON object of a run, without the comparison with the libraries' bare cost."""
    assert seen.before is not None
    assert seen.after is not None
    tallies = seen.tallies
    latencies = [value for tally in tallies for value in tally["latencies_ms"]]
    shed = _shed(tallies)
    supervisor_s = seen.after.supervisor_cpu_s - seen.before.supervisor_cpu_s
    workers = {
        pid: used - seen.before.worker_cpu_s.get(pid, 0.0) for pid, used in seen.after.worker_cpu_s.items()
    }
    pullers_s = seen.after.puller_cpu_s - seen.before.puller_cpu_s
    cpu_s = supervisor_s + sum(workers.values()) + pullers_s
    cores = cpu_s / seen.elapsed_s
    units = sum(tally["units"] for tally in tallies)
    refused = 0 if run.churn_s else sum(tally["failed"].startswith("REASON_CODE") for tally in tallies)
    verdicts = sum(tally["verdicts"] for tally in tallies)
    result: dict[str, Any] = {
        "mode": "pull" if run.pull else "push",
        "honours_tiers": run.honour_tiers,
        "streams": run.streams,
        "refused": refused,
        "seconds": round(seen.elapsed_s, 2),
        "samples": verdicts + sum(shed[reason] for reason in SAMPLE_REASONS),
        "verdicts": verdicts,
        "shed": dict(shed),
        "late": sum(value > BUDGET_MS for value in latencies),
        "failed": dict(Counter(tally["failed"] for tally in tallies if tally["failed"])),
        "cut": sum(tally["cut"] for tally in tallies),
        "latency_ms": percentiles(latencies, (50, 95, 99, 99.9)),
        "blind_ms_max": max((tally["blind_ms_max"] for tally in tallies), default=0),
        "cpu_s": round(cpu_s, 3),
        "supervisor_cpu_s": round(supervisor_s, 3),
        "puller_cpu_s": round(pullers_s, 3),
        "puller_mb": round(seen.after.puller_mb, 1),
        "units": units,
        "rss_mb": round(seen.after.resident_mb, 1),
        "workers": seen.loads,
        "decoded": seen.after.decoded - seen.before.decoded,
        "judged": seen.after.judged - seen.before.judged,
        "gate_streams_per_core": round((run.streams - refused) / cores, 2) if cpu_s else 0.0,
        "publisher_lag_ms_max": round(max((tally["lag_ms_max"] for tally in tallies), default=0.0), 1),
    }
    if run.alert_streams:
        result["alert"] = _of_alert(run, tallies)
    if seen.killed_at:
        result["kill"] = _of_kill(seen)
    if run.admit_all:
        result["overload"] = _of_overload(tallies, result)
    if run.watch_leaks:
        result["soak"] = _of_soak(seen)
    return result


def compared(result: dict[str, Any], cost: BareCost, paced: BareCost) -> dict[str, Any]:
    """Returns the figures with the limit and the efficiency that the gate reached.

    ``cost`` is of work done back to back, ``paced`` of the same work when it arrives as it does at the
    gate.
    """
    watched = result["streams"] - result["refused"]
    keyframes = round(watched * result["seconds"] / GOP_S)
    hot_s = cost.of(keyframes, result["decoded"], result["judged"])
    bare_s = paced.of(keyframes, result["decoded"], result["judged"])
    stream_s = watched * result["seconds"]
    return {
        **result,
        "bare_ms": paced.as_json(),
        "bare_back_to_back_ms": cost.as_json(),
        "limit_streams_per_core": round(stream_s / bare_s, 2) if bare_s else 0.0,
        "efficiency": round(bare_s / result["cpu_s"], 3) if result["cpu_s"] else 0.0,
        "efficiency_back_to_back": round(hot_s / result["cpu_s"], 3) if result["cpu_s"] else 0.0,
        "supervisor_us_per_unit": round(1e6 * result["supervisor_cpu_s"] / result["units"], 1)
        if result["units"]
        else None,
    }


def limit_of(result: dict[str, Any]) -> str:
    """Returns what a run failed by; empty when every due sample was judged in budget."""
    if result["publisher_lag_ms_max"] > _LAG_MS:
        return f"the publishers, {result['publisher_lag_ms_max']:.0f} ms behind: not the gate"
    if result["failed"]:
        return ", ".join(f"{count} calls failed: {word}" for word, count in result["failed"].items())
    due = {word: count for word, count in result["shed"].items() if word != "gave_way"}
    if due:
        return "shed: " + ", ".join(f"{word} {count}" for word, count in due.items())
    p99 = result["latency_ms"].get("p99")
    if p99 is None:
        return "no verdict at all"
    if p99 > BUDGET_MS or result["late"]:
        return f"latency: p99 {p99:.0f} ms, {result['late']} late"
    return ""


def _shed(tallies: Sequence[dict[str, Any]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally["not_judged"])
    return total


def _of_alert(run: Run, tallies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from benchmarks._publishers import ALERT_APP

    own = [tally for tally in tallies if tally["app"] == ALERT_APP]
    verdicts = sum(tally["verdicts"] for tally in own)
    lost = sum(_shed(own)[reason] for reason in SAMPLE_REASONS)
    kept = verdicts / (verdicts + lost) if verdicts + lost else 0.0
    return {"streams": run.alert_streams, "verdicts": verdicts, "lost": lost, "kept": round(kept, 4)}


def _of_kill(seen: Observed) -> dict[str, Any]:
    own = [tally for tally in seen.tallies if tally["lost_at"]]
    others = [tally for tally in seen.tallies if not tally["lost_at"]]
    resumed = [1000 * (tally["resumed_at"] - seen.killed_at) for tally in own if tally["resumed_at"]]
    lost = _shed(others)
    return {
        "own_streams": len(own),
        "resumed": len(resumed),
        "resumed_ms": percentiles(resumed, (50, 95)),
        "other_streams": len(others),
        "other_streams_lost": {word: count for word, count in lost.items() if word != "gave_way"},
        "other_streams_gap_s_max": round(max((tally["gap_s_max"] for tally in others), default=0.0), 2),
    }


def _of_overload(tallies: Sequence[dict[str, Any]], result: dict[str, Any]) -> dict[str, Any]:
    limit_ms = BLIND_LIMIT_MS + BUDGET_MS
    blind = [tally for tally in tallies if tally["blind_ms_max"] > limit_ms]
    return {
        "late": result["late"],
        "answered_share": round(result["verdicts"] / result["samples"], 4) if result["samples"] else 0.0,
        "streams_blind_past_the_limit": len(blind),
        "of_them_without_notice": sum("blind" not in tally["not_judged"] for tally in blind),
    }


def _of_soak(seen: Observed) -> dict[str, Any]:
    values = [mb for _, mb in seen.resident]
    tenth = max(1, len(values) // 10)
    first, last = statistics.median(values[:tenth]), statistics.median(values[-tenth:])
    stages = {
        "idle": seen.idle,
        "loaded": seen.loaded,
        "loaded_at_end": seen.loaded_at_end,
        "after_all_streams": seen.left,
    }
    return {
        "rss_mb_first": round(first, 1),
        "rss_mb_last": round(last, 1),
        "rss_growth": round(last / first - 1, 4),
        "lives": len(seen.tallies),
        "holdings": {word: stage.as_json() for word, stage in stages.items() if stage is not None},
    }
