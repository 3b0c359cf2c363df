"""Figures for a transparency report: how much was watched, what was decided, and how often wrongly."""

__all__: list[str] = []
