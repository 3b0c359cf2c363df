"""What a worker was working on is still readable after it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from edge.workers.current import CurrentStream

_CHILD = """
import os, signal, sys
from edge.workers.current import CurrentStream
page = CurrentStream(int(sys.argv[1]))
page.enter("st_first"); page.leave(); page.enter("st_culprit")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_page_outlives_a_killed_process() -> None:
    descriptor = CurrentStream.create()
    page = CurrentStream(descriptor)
    assert page.read() is None
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(descriptor)], pass_fds=(descriptor,), check=False, timeout=30
    )
    os.close(descriptor)
    assert child.returncode == -signal.SIGKILL
    assert page.read() == "st_culprit"
    page.close()
