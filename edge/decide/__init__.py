"""Decides from signals on PASS, FLAG or CUT. Pure."""

from edge.decide.activities import Activities, Progress, activity_of
from edge.decide.decider import Decider, Decision, match_action
from edge.decide.persistence import CategoryState
from edge.decide.suspicion import Suspicion

__all__ = [
    "Activities",
    "CategoryState",
    "Decider",
    "Decision",
    "Progress",
    "Suspicion",
    "activity_of",
    "match_action",
]
