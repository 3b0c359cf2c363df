"""Ingest servers: who may publish there, when a publish has ended, and how a publisher is cut."""

__all__: list[str] = []
