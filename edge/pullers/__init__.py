"""Pullers: the processes that open pulled streams and pass their access units to the supervisor.

This module imports nothing, so that a puller starts without the supervisor's code.
"""

__all__: list[str] = []
