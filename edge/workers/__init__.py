"""Worker processes: each owns whole streams, from access units to verdicts.

Nothing is imported here: a worker starts without what only its supervisor needs.
"""
