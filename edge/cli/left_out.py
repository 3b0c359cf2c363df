"""Shows what a command has left out of the folders that it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.cli.output import print_warning, stderr

if TYPE_CHECKING:
    from edge.replay import LeftOut

_SHOWN = 20


def print_left_out(left_out: Sequence[LeftOut]) -> None:
    """Prints one line for each to stderr, up to twenty."""
    for each in left_out[:_SHOWN]:
        text = f"left out {each.path}: {each.why}"
        if each.failed:
            print_warning(text)
        else:
            stderr.print(text, soft_wrap=True)
    if len(left_out) > _SHOWN:
        stderr.print(f"and {len(left_out) - _SHOWN} more are left out; --json lists all", soft_wrap=True)
