"""How evidence is shown, so that it harms those who watch it less. Each person may change it for themselves.

Blurred and grey frames weigh less on content moderators and cost them next to no accuracy (Das, Dang and
Lease 2020, "Fast, Accurate, and Healthier"; Karunakaran and Ramakrishan 2019, "Testing Stylistic
Interventions to Reduce Emotional Impact of Content Moderation Workers").
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from edge.config import ConsoleSection


@dataclass(frozen=True, slots=True)
class Wellness:
    """What is done to evidence before it is shown."""

    blur: bool = True
    greyscale: bool = True
    muted: bool = True
    small: bool = True

    @classmethod
    def of(cls, section: ConsoleSection, chosen: str | None) -> Self:
        """The organisation's choice, or a person's own: the words of what is on, joined by dots."""
        if chosen is None:
            return cls(section.blur, section.greyscale, section.muted, section.small)
        on = chosen.split(".")
        return cls(**{each.name: each.name in on for each in fields(cls)})

    @property
    def words(self) -> str:
        """What is on, joined by dots; ``none`` where nothing is."""
        return ".".join(each.name for each in fields(self) if getattr(self, each.name)) or "none"
