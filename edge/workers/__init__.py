"""Worker processes: each owns whole streams, from access units to verdicts.

This module imports nothing, so that a worker starts without the supervisor's code.
"""

__all__: list[str] = []
