"""Webhooks: signed events tell the platform about decisions, at least once, each under one id."""

__all__: list[str] = []
