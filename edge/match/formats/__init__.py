"""Reads and writes hash lists of other organisations, and resumes interrupted imports."""
