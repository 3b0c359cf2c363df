"""How much a stream has against it just now."""

from __future__ import annotations

from enum import IntEnum


class Suspicion(IntEnum):
    """What a judged sample says of the stream, for the tier that follows."""

    NONE = 0
    RAISED = 1
    """A category's score is at or over ``raise_at``: worth a closer look."""
    STANDING = 2
    """A category's score has stayed at or over ``flag_at``, or known footage is near: worth watching on."""
