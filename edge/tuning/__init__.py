"""Chooses thresholds from labelled footage, and measures how well they work."""

__all__: list[str] = []
