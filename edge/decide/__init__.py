"""Decides from signals on PASS, FLAG or CUT. Pure."""

from edge.decide.decider import Decider, Decision
from edge.decide.persistence import CategoryState
from edge.decide.suspicion import Suspicion

__all__ = ["CategoryState", "Decider", "Decision", "Suspicion"]
