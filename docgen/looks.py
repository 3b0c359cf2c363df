"""The table of what looks in mid-GOP cost and find, from the model of their budget."""

from __future__ import annotations

from docgen.markdown import table
from edge.policy import Policy
from edge.stream import Risk, explain_looks

_HEADER = (
    "Risk",
    "One look every",
    "CPU of a calm stream",
    "Half of the time on screen: cut after p50 / p95 / p99",
    "A quarter of the time",
)


def describe_looks() -> str:
    """Returns the table for the default policy, at GOPs of two seconds and of one."""
    parts = []
    for gop_ms in (2000, 1000):
        rows = []
        for each in explain_looks(Policy(), gop_ms=gop_ms):
            times = [f"{f.p50_s:.0f} / {f.p95_s:.0f} / {f.p99_s:.0f} s" for f in each.found]
            rows.append(
                (Risk(each.risk).name.lower(), f"{each.every_s:.1f} s", f"+{100 * each.cost:.0f} %", *times)
            )
        parts.append(f"GOPs of {gop_ms / 1000:g} s:\n\n{table(_HEADER, rows)}")
    return "\n".join(parts)
