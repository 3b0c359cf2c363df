"""How suspicious a stream is at the moment."""

from __future__ import annotations

from enum import IntEnum


class Suspicion(IntEnum):
    """Suspicion after a judged sample. The next tier follows from it."""

    NONE = 0
    RAISED = 1
    """A category's score is at or over ``raise_at``. The stream gets a short probe in the alert tier."""
    STANDING = 2
    """A category's score has stayed at or over ``flag_at``, or known footage is near. Alert is held
    longer."""
