"""The part of the policy about what is shared with other companies."""

from __future__ import annotations

from pydantic import Field

from edge.policy.part import PolicyPart


class SharingPolicy(PolicyPart):
    """What goes to other companies."""

    second_person: bool = Field(
        False,
        description="Footage of a confirmed incident is shared only once a second person has confirmed it.",
    )
