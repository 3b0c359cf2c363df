"""Telling the platform what was decided: signed events, at least once, each under one id."""
