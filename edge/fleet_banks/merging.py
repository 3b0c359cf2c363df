"""How a change of another gate meets what this gate has changed and not told yet. Pure.

Three states decide: what the fleet has in common by this gate's last knowledge, what this gate's folder has
now, and what the change says. Additions of both sides stay. A withdrawal wins over an addition of either
side. Of two settings, the one told last wins: that is this gate's own, which is yet to be told.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeVar

Value = TypeVar("Value")


class _Unknown(StrEnum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""In the place of a common value: this gate joins with a bank that the fleet has too. The fleet's holds."""


class Addition(StrEnum):
    """What an added entry does to this gate's folder."""

    ADD = "add"
    REPLACE = "replace"
    NOTHING = "nothing"


def addition(*, common: bool, here: bool) -> Addition:
    """``common``: whether the fleet had the entry by this gate's last knowledge. ``here``: whether the folder
    has it."""
    if common:
        return Addition.REPLACE if here else Addition.NOTHING  # withdrawn here: that wins
    return Addition.NOTHING if here else Addition.ADD  # added here too: it is told, and then replaces


def value_after(here: Value, common: Value | _Unknown, said: Value) -> Value:
    """The value of a setting or a mark in this gate's folder after another gate said one."""
    return said if common is UNKNOWN or here == common else here
