"""Records callbacks of the event loop that hold it up: by the processor time of its thread, since wall time
says nothing on a busy machine."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SLOW_MS = 50.0
"""asyncio's own threshold (``slow_callback_duration``) is twice as long."""


@contextmanager
def slow_callbacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float, str]]]:
    """Collects milliseconds and name of each callback over ``SLOW_MS``, in all event loops of this thread."""
    slow: list[tuple[float, str]] = []
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> Any:
        said = repr(getattr(handle, "_callback", handle))
        began = time.thread_time()
        try:
            return run(handle)
        finally:
            took_ms = 1000 * (time.thread_time() - began)
            if took_ms > SLOW_MS:
                slow.append((took_ms, said))

    with monkeypatch.context() as patched:
        patched.setattr(asyncio.Handle, "_run", timed)
        gc.collect()
        gc.disable()  # A collection of what the tests before have left is not this test's.
        try:
            yield slow
        finally:
            gc.enable()
