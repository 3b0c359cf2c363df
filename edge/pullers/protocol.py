"""What supervisor, template and pullers say to each other, beside the messages of the worker's protocol."""

from __future__ import annotations

import os
import struct
from typing import Final

REQUEST: Final = struct.Struct("<QB")
"""A datagram to the template: number of the pull, and ``FORK`` or ``KILL``. With ``FORK`` comes the socket of
the puller."""
FORK: Final = 0
KILL: Final = 1
ENDED: Final = struct.Struct("<Qi")
"""A datagram from the template: number of the pull, and its puller's exit code as Python has it, negative for
a signal."""
NOT_FORKED: Final = os.EX_OSERR
"""Exit code of a puller for which there was no process."""

WANTS_AUDIO: Final = b"\1"
"""A byte to a puller, behind its ``OpenPull``."""
NO_AUDIO: Final = b"\0"
