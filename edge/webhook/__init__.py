"""Webhooks: signed events tell the platform about decisions, at least once, each under one id."""
