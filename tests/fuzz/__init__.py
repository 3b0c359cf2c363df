"""Fuzzing of everything that strangers' bytes reach: ``python -m tests.fuzz --help``."""
