"""Crises: how one begins and ends, and what it does to the policy. Pure."""

from edge.crisis.crisis import CRISIS_NAME, DRILL_APP, Crisis, CrisisState, declared
from edge.crisis.overlay import MEASURES, checked_patch, overlaid

__all__ = [
    "CRISIS_NAME",
    "DRILL_APP",
    "MEASURES",
    "Crisis",
    "CrisisState",
    "checked_patch",
    "declared",
    "overlaid",
]
