"""Judges recorded files with the same pipeline as live streams."""

from edge.replay.files import expand_paths
from edge.replay.lookup import LookupSetup
from edge.replay.pool import JudgeSetup, ReplayPool
from edge.replay.report import Replay, ReplaySetup, spared

__all__ = ["JudgeSetup", "LookupSetup", "Replay", "ReplayPool", "ReplaySetup", "expand_paths", "spared"]
