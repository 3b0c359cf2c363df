"""Entry of a worker process: ``python -m edge.workers SOCKET_FD PAGE_FD SETTINGS_JSON``."""

from __future__ import annotations

import atexit
import gc
import os
import sys

if __name__ == "__main__":
    gc.disable()  # until the worker is ready: what a start makes stays, and each collection would visit it
    # structlog would import it for colours on a terminal, which is a tenth of a worker's start.
    sys.modules["rich"] = None  # type: ignore[assignment]
    from edge.workers.process import main

    code = main(sys.argv[1:])
    # A thread may still load a model or a bank, which may crash in a half finalised interpreter. So exit
    # handlers write the last log lines, and the process ends at once.
    atexit._run_exitfuncs()
    os._exit(code)
