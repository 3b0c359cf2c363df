"""Reference of the metrics, from the collectors that a gate registers."""

from __future__ import annotations

from docgen.markdown import cell, code, table
from edge.telemetry.prometheus import PrometheusBackend


def describe_metrics() -> str:
    """Returns every metric with its kind."""
    rows = []
    for family in PrometheusBackend().registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append((code(name), family.type, cell(family.documentation)))
    return table(("Name", "Kind", "Meaning"), sorted(rows))
