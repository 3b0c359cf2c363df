"""Telemetry: each event is reported once, as a frozen record. Metrics and log lines are backends."""

__all__: list[str] = []
