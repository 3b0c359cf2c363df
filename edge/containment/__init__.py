"""Contains the processes that touch media: each drops what its role does not need, before its first byte."""

from edge.containment.contain import Containment, contain, lacking, problems
from edge.containment.environment import contained_environment, mode_of_environment
from edge.containment.late_imports import load_all_of
from edge.containment.parent import die_with
from edge.containment.role import ContainmentMode, Measure, ProcessRole

__all__ = [
    "Containment",
    "ContainmentMode",
    "Measure",
    "ProcessRole",
    "contain",
    "contained_environment",
    "die_with",
    "lacking",
    "load_all_of",
    "mode_of_environment",
    "problems",
]
