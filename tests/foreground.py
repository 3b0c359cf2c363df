"""Commands that start as from a terminal, though this test may be a background job, which ignores Ctrl-C.

``preexec_fn`` would do it in the child before it is a program of its own. There gRPC's handlers of ``fork``
fail where another test has left one of its threads.
"""

from __future__ import annotations

import sys
from typing import Final

_START: Final = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def foreground(*command: str) -> list[str]:
    """The command, which does not ignore SIGINT. ``command[0]`` is the program's path."""
    return [sys.executable, "-c", _START, *command]
