"""Judges recorded files with the same pipeline as live streams."""

from edge.replay.files import FoundFiles, LeftOut, left_out_of
from edge.replay.lookup import LookupSetup
from edge.replay.pool import JudgeSetup, ReplayPool
from edge.replay.report import Replay, ReplaySetup, spared

__all__ = [
    "FoundFiles",
    "JudgeSetup",
    "LeftOut",
    "LookupSetup",
    "Replay",
    "ReplayPool",
    "ReplaySetup",
    "left_out_of",
    "spared",
]
